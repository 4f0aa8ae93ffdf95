//! The SSH connection that a command was typed into.

use std::{env, fs, io::Read as _};

const VARIABLE: &str = "SSH_CONNECTION";
/// `sudo`, `su` and shells between sshd's child and us.
const ANCESTORS: usize = 16;
const LARGEST: u64 = 1 << 20;

/// `CLIENT PORT SERVER PORT`, from our environment or, as `sudo` clears it, from that of the processes that we come
/// from.
#[must_use]
pub fn connection() -> Option<String> {
    let own = env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    own.or_else(|| {
        let mut pid = nix::unistd::getppid().as_raw();
        for _ in 0..ANCESTORS {
            if pid <= 1 {
                return None;
            }
            if let Some(found) = read(&format!("/proc/{pid}/environ")).as_deref().and_then(variable) {
                return Some(found);
            }
            pid = parent(&read(&format!("/proc/{pid}/stat"))?)?;
        }
        None
    })
}

fn read(path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(LARGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn variable(environment: &[u8]) -> Option<String> {
    let entries = environment.split(|byte| *byte == 0);
    let mut values = entries.filter_map(|entry| entry.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="));
    values.find(|value| !value.is_empty()).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// The fourth field of `/proc/PID/stat`; the second, a name in parentheses, may hold anything.
fn parent(stat: &[u8]) -> Option<i32> {
    let text = String::from_utf8_lossy(stat);
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says() {
        let environment = b"HOME=/root\0SSH_CONNECTION=192.31.196.1 50000 192.31.196.2 22\0TERM=x\0";
        assert_eq!(variable(environment).as_deref(), Some("192.31.196.1 50000 192.31.196.2 22"));
        assert_eq!(variable(b"XSSH_CONNECTION=1\0SSH_CONNECTION_=2\0"), None);
        assert_eq!(parent(b"7 (a) b) S 5 7 7 0"), Some(5));
        assert_eq!(parent(b"garbage"), None);
        let own = fs::read("/proc/self/stat").unwrap();
        assert_eq!(parent(&own), Some(nix::unistd::getppid().as_raw()));
    }
}
