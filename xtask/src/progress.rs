//! What the user sees of long work: numbered steps, a ticking line, and the log's tail when a step fails.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process;

const POLL: Duration = Duration::from_millis(50);
/// How often a line is written where none can be rewritten.
const QUIET_TICK: Duration = Duration::from_secs(10);
const TAIL_LINES: usize = 20;

/// A task in numbered steps. Everything goes to stderr; what children say goes to the log.
pub(crate) struct Steps {
    total: usize,
    started: usize,
    log: PathBuf,
    live: bool,
}

impl Steps {
    /// Starts with an empty log.
    pub(crate) fn new(total: usize, log: PathBuf) -> Result<Self> {
        File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        Ok(Self { total, started: 0, log, live: io::stderr().is_terminal() })
    }

    /// Runs one step and reports how long it took.
    pub(crate) fn step<T>(&mut self, title: &str, work: impl FnOnce(&Step<'_>) -> Result<T>) -> Result<T> {
        self.started += 1;
        let title = format!("[{}/{}] {title}", self.started, self.total);
        let step = Step { title: &title, began: Instant::now(), log: &self.log, live: self.live };
        step.begin();
        let result = work(&step);
        step.end(result.is_ok());
        result
    }
}

/// The step that is running.
pub(crate) struct Step<'a> {
    title: &'a str,
    began: Instant,
    log: &'a Path,
    live: bool,
}

impl Step<'_> {
    /// Tells the user something while the step goes on.
    pub(crate) fn say(&self, text: &str) {
        let rewind = if self.live { "\r\x1b[2K" } else { "" };
        eprintln!("{rewind}      {text}");
    }

    /// Runs a command to its end; `note` says how far it is.
    pub(crate) fn run(&self, command: &mut Command, note: impl Fn() -> String) -> Result<()> {
        let log = self.open_log()?;
        command.stdout(log.try_clone()?).stderr(log);
        self.wait(vec![spawn(command)?], note)
    }

    /// Runs `left | right` to their end.
    pub(crate) fn pipe(&self, left: &mut Command, right: &mut Command) -> Result<()> {
        let log = self.open_log()?;
        let mut source = spawn(left.stdout(Stdio::piped()).stderr(log.try_clone()?))?;
        let pipe = source.1.stdout.take().context("the child has no stdout")?;
        let sink = spawn(right.stdin(pipe).stdout(log.try_clone()?).stderr(log))?;
        self.wait(vec![source, sink], String::new)
    }

    /// The last line in the log: what a compiler is at.
    pub(crate) fn last_log_line(&self) -> String {
        last_lines(&read(self.log), 1).concat().trim().chars().take(50).collect()
    }

    fn open_log(&self) -> Result<File> {
        let open = OpenOptions::new().append(true).create(true).open(self.log);
        open.with_context(|| format!("cannot write {}", self.log.display()))
    }

    fn wait(&self, mut children: Vec<(String, Child)>, note: impl Fn() -> String) -> Result<()> {
        let mut last_tick = Instant::now();
        while let Some((name, child)) = children.first_mut() {
            match child.try_wait()? {
                Some(status) if status.success() => drop(children.remove(0)),
                Some(status) => {
                    let tail = last_lines(&read(self.log), TAIL_LINES).join("\n  | ");
                    bail!(
                        "{name} failed ({status}), at the end it said\n  | {tail}\nlog: {}",
                        self.log.display()
                    );
                }
                None => {
                    self.tick(&mut last_tick, &note);
                    thread::sleep(POLL);
                }
            }
        }
        Ok(())
    }

    fn begin(&self) {
        if self.live {
            eprint!("{} ", self.title);
            let _ = io::stderr().flush();
        } else {
            eprintln!("{}", self.title);
        }
    }

    fn tick(&self, last: &mut Instant, note: impl Fn() -> String) {
        let pause = if self.live { POLL * 4 } else { QUIET_TICK };
        if last.elapsed() < pause {
            return;
        }
        *last = Instant::now();
        let seconds = self.began.elapsed().as_secs();
        if self.live {
            eprint!("\r\x1b[2K{}  {seconds} s  {}", self.title, note());
            let _ = io::stderr().flush();
        } else {
            self.say(&format!("{seconds} s  {}", note()));
        }
    }

    fn end(&self, ok: bool) {
        let rewind = if self.live { "\r\x1b[2K" } else { "" };
        let outcome = if ok { "" } else { "FAILED after " };
        eprintln!("{rewind}{}: {outcome}{:.1} s", self.title, self.began.elapsed().as_secs_f32());
    }
}

fn spawn(command: &mut Command) -> Result<(String, Child)> {
    let name = process::name(command);
    let child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    Ok((name, child))
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

/// The last lines that are not empty.
fn last_lines(text: &str, count: usize) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_skips_empty_lines() {
        assert_eq!(last_lines("a\n\nb\nc\n\n", 2), ["b", "c"]);
        assert!(last_lines("", 2).is_empty());
    }

    #[test]
    fn a_failing_child_shows_its_output_and_the_log() {
        let log = std::env::temp_dir().join(format!("xtask-progress-{}.log", std::process::id()));
        let mut steps = Steps::new(1, log.clone()).unwrap();
        let mut command = process::isolated("sh");
        command.args(["-c", "echo out; echo err >&2; exit 7"]);
        let error = steps.step("fails", |step| step.run(&mut command, String::new)).unwrap_err().to_string();
        fs::remove_file(&log).unwrap();
        assert!(error.contains("  | out\n  | err\n") && error.contains(log.to_str().unwrap()), "{error}");
    }
}
