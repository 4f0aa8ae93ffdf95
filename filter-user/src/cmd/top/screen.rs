//! The screen of `floodwall top`: what is on it, and what keys do.

use std::{collections::VecDeque, fmt::Write as _};

use ratatui::{
    Frame,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Clear, Paragraph, Sparkline},
};

use super::{
    model::View,
    table::{Order, Pane, rate_of},
};

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Do {
    /// Nothing more.
    Nothing,
    /// To end.
    End,
    /// What this verb says.
    Say(Vec<String>),
}

/// What lies over the panes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Over {
    #[default]
    Nothing,
    Text(String, u16),
    /// A filter is typed.
    Filter,
    /// A question, and what yes does.
    Ask(String, Vec<String>),
}

const HELP: &str = "\
q        end
Tab      the next pane on the right; 2 to 7: that one
Up Down  choose a source or prefix
s        sort by packets, bits, names
/        show only rows with a text; Esc: all
p Space  pause, go on
e        explain the last drop of the chosen source
b        ban the chosen source (it asks)
h ?      this; any key: back

Reasons are exact; sources, prefixes and services are estimated from
samples. + is proven: it has a connection or answered a challenge.
Without + the address may be forged, and a ban would hit somebody else.";

/// All of it.
#[derive(Debug)]
pub(super) struct Screen {
    view: View,
    past: [Vec<f64>; 3],
    pane: usize,
    order: Order,
    filter: String,
    chosen: usize,
    paused: bool,
    over: Over,
    problem: Option<String>,
    color: bool,
}

const NAMES: [&str; 3] = ["passed", "answered", "dropped"];
const COLORS: [Color; 3] = [Color::Green, Color::Yellow, Color::Red];

impl Screen {
    /// Empty.
    #[must_use]
    pub(super) fn new(color: bool) -> Self {
        Self {
            view: View::default(),
            past: Default::default(),
            pane: 1,
            order: Order::default(),
            filter: String::new(),
            chosen: 0,
            paused: false,
            over: Over::default(),
            problem: None,
            color,
        }
    }

    /// Something new, unless it is paused.
    pub(super) fn show(&mut self, view: View, past: &[VecDeque<f64>; 3]) {
        self.problem = None;
        if !self.paused {
            self.view = view;
            self.past = past.each_ref().map(|row| row.iter().copied().collect());
        }
    }

    /// There is nothing new, for that reason.
    pub(super) fn lose(&mut self, why: &str) {
        self.problem = Some(why.to_owned());
    }

    /// Lays a text over the panes.
    pub(super) fn say(&mut self, text: &str) {
        self.over = Over::Text(text.to_owned(), 0);
    }

    /// What is chosen in the right pane: a source or prefix.
    fn chosen(&self) -> Option<String> {
        let pane = Pane::ALL[self.pane];
        let rows = pane.rows(&self.view, self.order, &self.filter);
        let row = matches!(pane, Pane::Sources | Pane::Prefixes)
            .then(|| rows.get(self.chosen.min(rows.len().saturating_sub(1))))?;
        row.map(|row| row.name.trim_end_matches('+').to_owned())
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: KeyEvent) -> Do {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Do::End;
        }
        match std::mem::take(&mut self.over) {
            Over::Nothing => self.command(key.code),
            Over::Text(text, line) => {
                match key.code {
                    KeyCode::Down => self.over = Over::Text(text, line.saturating_add(1)),
                    KeyCode::Up => self.over = Over::Text(text, line.saturating_sub(1)),
                    _ => {}
                }
                Do::Nothing
            }
            Over::Filter => {
                self.typed(key.code);
                Do::Nothing
            }
            Over::Ask(_, words) => {
                if key.code == KeyCode::Char('y') {
                    return Do::Say(words);
                }
                Do::Nothing
            }
        }
    }

    fn typed(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char(letter) => self.filter.push(letter),
            KeyCode::Backspace => _ = self.filter.pop(),
            KeyCode::Enter => return,
            KeyCode::Esc => {
                self.filter.clear();
                return;
            }
            _ => {}
        }
        self.over = Over::Filter;
    }

    fn command(&mut self, code: KeyCode) -> Do {
        match code {
            KeyCode::Char('q') => return Do::End,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab | KeyCode::Right => self.pane = self.pane % (Pane::ALL.len() - 1) + 1,
            KeyCode::BackTab | KeyCode::Left => {
                self.pane = (self.pane + Pane::ALL.len() - 3) % (Pane::ALL.len() - 1) + 1;
            }
            KeyCode::Char(digit @ '2'..='7') => self.pane = digit as usize - '1' as usize,
            KeyCode::Up => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Down => {
                let rows = Pane::ALL[self.pane].rows(&self.view, self.order, &self.filter).len();
                self.chosen = (self.chosen + 1).min(rows.saturating_sub(1));
            }
            KeyCode::Char('s') => {
                self.order = match self.order {
                    Order::Packets => Order::Bits,
                    Order::Bits => Order::Names,
                    Order::Names => Order::Packets,
                }
            }
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('/') => self.over = Over::Filter,
            KeyCode::Char('h' | '?') => self.say(HELP),
            KeyCode::Char('e') => match self.chosen() {
                Some(who) => return Do::Say(["explain", "--last", &who].map(str::to_owned).to_vec()),
                None => self.say("choose a source or a prefix first: Tab, Down"),
            },
            KeyCode::Char('b') => match self.chosen() {
                Some(who) => {
                    let words = ["ban", "add", &who, "--reason", "top"].map(str::to_owned).to_vec();
                    self.over =
                        Over::Ask(format!("Ban {who}? An address without + may be forged. y: yes"), words);
                }
                None => self.say("choose a source or a prefix first: Tab, Down"),
            },
            _ => {}
        }
        Do::Nothing
    }

    fn style(&self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// Draws it, from 80 columns and 24 lines on.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let lines = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(3),
            Constraint::Min(3),
            Constraint::Length(1),
        ]);
        let [title, rates, panes, foot] = lines.areas(frame.area());
        frame.render_widget(self.title(), title);
        self.rates(frame, rates);
        let [left, right] = Layout::horizontal([Constraint::Fill(4), Constraint::Fill(5)]).areas(panes);
        self.pane(frame, left, Pane::Reasons, None);
        self.pane(frame, right, Pane::ALL[self.pane], Some(self.chosen));
        frame.render_widget(Paragraph::new(self.foot()), foot);
        if let Over::Text(text, line) = &self.over {
            let area = inside(frame.area(), text);
            frame.render_widget(Clear, area);
            frame.render_widget(
                Paragraph::new(text.as_str()).scroll((*line, 0)).block(Block::bordered()),
                area,
            );
        }
    }

    fn title(&self) -> Paragraph<'_> {
        let view = &self.view;
        let interfaces: Vec<_> = view.interfaces.iter().map(|(name, xdp)| format!("{name} {xdp}")).collect();
        let mut text =
            format!("floodwall  {}  revision {}  {}", view.mode, view.revision, interfaces.join(", "));
        if !view.attacks.is_empty() {
            let _ = write!(text, "  ATTACKS: {}, see 5", view.attacks.len());
        }
        let style = Style::new().add_modifier(Modifier::BOLD);
        Paragraph::new(match &self.problem {
            Some(problem) => format!("floodwall: {problem}"),
            None if self.paused => format!("{text}  PAUSED"),
            None => text,
        })
        .style(if self.problem.is_some() { style.patch(self.style(Color::Red)) } else { style })
    }

    /// Rates of now, and how they came to that.
    fn rates(&self, frame: &mut Frame<'_>, area: Rect) {
        let rows = Layout::vertical([Constraint::Length(1); 3]).areas::<3>(area);
        for (row, area) in rows.into_iter().enumerate() {
            let mut sum = super::model::Rate::default();
            for (_, rate) in
                self.view.verdicts.iter().filter(|(verdict, _)| super::model::row(verdict) == row)
            {
                (sum.pps, sum.bps) = (sum.pps + rate.pps, sum.bps + rate.bps);
            }
            let [words, line] = Layout::horizontal([Constraint::Length(38), Constraint::Fill(1)]).areas(area);
            let text = format!("{:<9} {:>8} pps {:>8} bit/s", NAMES[row], rate_of(sum.pps), rate_of(sum.bps));
            frame.render_widget(Paragraph::new(text).style(self.style(COLORS[row])), words);
            let room = usize::from(line.width);
            let past = &self.past[row][self.past[row].len().saturating_sub(room)..];
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rates are finite and not negative"
            )]
            let data: Vec<u64> = past.iter().map(|rate| *rate as u64).collect();
            frame.render_widget(Sparkline::default().data(&data).style(self.style(COLORS[row])), line);
        }
    }

    fn pane(&self, frame: &mut Frame<'_>, area: Rect, pane: Pane, chosen: Option<usize>) {
        let [title, first, second, third] = pane.head();
        let rows = pane.rows(&self.view, self.order, &self.filter);
        let room = usize::from(area.height).saturating_sub(1);
        let chosen = chosen.map(|chosen| chosen.min(rows.len().saturating_sub(1)));
        let from = chosen.map_or(0, |chosen| (chosen + 1).saturating_sub(room));
        // In a narrow pane there is room for the number only by which it is sorted.
        let both = area.width >= 60;
        let width = usize::from(area.width).saturating_sub(if both { 26 } else { 19 }).max(10);
        let line = |name: &str, first: &str, second: &str, remark: &str| {
            let name: String = name.chars().take(width).collect();
            let remark: String = remark.chars().take(10).collect();
            match (both, self.order) {
                (true, _) => format!("{name:<width$} {first:>6} {second:>6} {remark:<10}"),
                (false, Order::Bits) => format!("{name:<width$} {second:>6} {remark:<10}"),
                (false, _) => format!("{name:<width$} {first:>6} {remark:<10}"),
            }
        };
        let head = Style::new().add_modifier(Modifier::UNDERLINED);
        let mut lines = vec![Line::styled(line(title, first, second, third), head)];
        for (number, row) in rows.iter().enumerate().skip(from).take(room) {
            let style = if row.bad { self.style(Color::Red) } else { Style::new() };
            let here = chosen == Some(number) && matches!(pane, Pane::Sources | Pane::Prefixes);
            let style = if here { style.add_modifier(Modifier::REVERSED) } else { style };
            lines.push(Line::styled(line(&row.name, &row.numbers[0], &row.numbers[1], &row.remark), style));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn foot(&self) -> String {
        match &self.over {
            Over::Filter => format!("show only rows with: {}_", self.filter),
            Over::Ask(question, _) => question.clone(),
            _ => {
                let filter =
                    if self.filter.is_empty() { String::new() } else { format!("  only {:?}", self.filter) };
                format!("q end  Tab pane  s sort  / filter  p pause  e explain  b ban  h help{filter}")
            }
        }
    }
}

/// A place for the text, in the middle.
fn inside(area: Rect, text: &str) -> Rect {
    let lines = u16::try_from(text.lines().count()).unwrap_or(u16::MAX).saturating_add(2);
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    let width = u16::try_from(widest).unwrap_or(u16::MAX).saturating_add(2).min(area.width);
    let height = lines.min(area.height);
    Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::cmd::top::model::{
        Model,
        tests::{event, reading},
    };

    fn screen() -> Screen {
        let (mut model, mut screen) = (Model::default(), Screen::new(false));
        for second in 0..20_u32 {
            let events = vec![
                event("44.0.0.1", "bogon", 64),
                event("2620:4f:8000:1234:5678:9abc:def0:1", "established", 16),
            ];
            let view = model.take(reading(
                f64::from(second),
                u64::from(second * second) * 1000,
                events,
                "cpu0 1 1 1 1 1 1 1 1",
            ));
            screen.show(view, &model.past);
        }
        screen
    }

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>() + "\n";
        (0..height).map(line).collect()
    }

    fn press(screen: &mut Screen, keys: &str) -> Do {
        keys.chars().fold(Do::Nothing, |_, key| {
            let code = match key {
                '\t' => KeyCode::Tab,
                '\n' => KeyCode::Enter,
                'v' => KeyCode::Down,
                '^' => KeyCode::Esc,
                key => KeyCode::Char(key),
            };
            screen.key(KeyEvent::from(code))
        })
    }

    #[test]
    fn it_fits_80_columns_and_24_lines() {
        let text = drawn(&screen(), 80, 24);
        for word in
            ["enforce", "dropped", "37k", "bogon", "44.0.0.1", "h help", "ATTACKS: 1", "█", "established "]
        {
            assert!(text.contains(word), "{word}:\n{text}");
        }
        for (width, height) in [(1, 1), (20, 5), (79, 23), (300, 100)] {
            drawn(&screen(), width, height);
        }
    }

    #[test]
    fn panes_follow_each_other() {
        let mut screen = screen();
        let mut seen = Vec::new();
        for _ in 0..6 {
            let text = drawn(&screen, 80, 24);
            seen.extend(Pane::ALL.into_iter().skip(1).filter(|pane| text.contains(pane.head()[0])));
            press(&mut screen, "\t");
        }
        assert_eq!(seen, Pane::ALL[1..]);
        assert_eq!(screen.pane, 1);
        screen.key(KeyEvent::from(KeyCode::BackTab));
        assert_eq!(Pane::ALL[screen.pane], Pane::Cpus);
        press(&mut screen, "3");
        assert_eq!(Pane::ALL[screen.pane], Pane::Prefixes);
    }

    #[test]
    fn bans_are_asked_about_first() {
        let mut screen = screen();
        let words = |words: &[&str]| Do::Say(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(press(&mut screen, "b"), Do::Nothing);
        assert!(drawn(&screen, 80, 24).contains("Ban 44.0.0.1?"));
        assert_eq!(press(&mut screen, "n"), Do::Nothing);
        assert_eq!(press(&mut screen, "by"), words(&["ban", "add", "44.0.0.1", "--reason", "top"]));
        assert_eq!(
            press(&mut screen, "vve"),
            words(&["explain", "--last", "2620:4f:8000:1234:5678:9abc:def0:1"])
        );
        assert_eq!(press(&mut screen, "5b"), Do::Nothing);
        assert!(drawn(&screen, 80, 24).contains("choose a source"));
    }

    #[test]
    fn filters_pauses_and_words() {
        let mut screen = screen();
        press(&mut screen, "/2620\n");
        let text = drawn(&screen, 120, 24);
        assert!(
            !text.contains("44.0.0.1") && text.contains("2620:") && text.contains("only \"2620\""),
            "{text}"
        );
        press(&mut screen, "^p");
        screen.show(View::default(), &Default::default());
        assert!(drawn(&screen, 80, 24).contains("44.0.0.1") && drawn(&screen, 80, 24).contains("PAUSED"));
        press(&mut screen, "h");
        assert!(drawn(&screen, 80, 24).contains("this; any key: back"));
        press(&mut screen, "x");
        screen.lose("no daemon at /run/x");
        assert!(drawn(&screen, 80, 24).contains("no daemon at /run/x"));
        assert_eq!((press(&mut screen, "ss"), screen.order), (Do::Nothing, Order::Names));
        assert_eq!(press(&mut screen, "q"), Do::End);
    }
}
