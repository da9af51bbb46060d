//! The screen, drawn from the app alone: nodes on top, tasks below, the selected one in words, and the keys.

use std::fmt::Write as _;

use orca_api::control::NodeView;
use orca_api::node::NodeState;
use orca_api::task::Phase;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, Cell, Clear, Paragraph, Row as TableRow, StatefulWidget, Table, TableState, Widget,
};

use super::app::{App, NODES_SHOWN, Row};
use crate::output::words;

/// Cells of a bar.
const BAR: usize = 10;

/// Draws the live screen.
pub(super) fn screen(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    render(area, frame.buffer_mut(), app, true);
}

/// One picture as text, without styles: for `--once` and pipes.
pub(super) fn text(app: &App, columns: usize) -> String {
    let width = u16::try_from(columns.clamp(80, 240)).unwrap_or(80);
    let height = u16::try_from(app.visible().len() + app.node_count().min(NODES_SHOWN) + 4)
        .unwrap_or(u16::MAX)
        .clamp(6, 4096);
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    render(area, &mut buffer, app, false);
    let rows = (0..height).map(|y| {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        line.trim_end().to_owned()
    });
    rows.collect::<Vec<_>>().join("\n").trim_end().to_owned() + "\n"
}

fn render(area: Rect, buffer: &mut Buffer, app: &App, live: bool) {
    let nodes = u16::try_from(app.node_count().clamp(1, NODES_SHOWN)).unwrap_or(1);
    let foot = if live { 2 } else { 0 };
    let [head, node_rows, gap, body, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(nodes),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(foot),
    ])
    .areas(area);
    heading(app).render(head, buffer);
    let shown: Vec<Line<'_>> =
        app.listed_nodes().into_iter().map(|node| node_line(node, area.width)).collect();
    Paragraph::new(shown).render(node_rows, buffer);
    order_line(app).render(gap, buffer);
    tasks(body, buffer, app, live);
    if live {
        foot_lines(app).render(bottom, buffer);
        if app.help {
            help(area, buffer);
        }
    }
}

fn heading(app: &App) -> Line<'static> {
    let mut counts = [0usize; 3];
    for row in app.visible() {
        match row.task.phase {
            Phase::Running => counts[0] += 1,
            Phase::Failed => counts[2] += 1,
            _ => counts[1] += 1,
        }
    }
    let mut spans =
        vec![Span::styled("orca top", Style::new().add_modifier(Modifier::BOLD)), Span::raw("   ")];
    spans.push(Span::raw(format!(
        "{} of {} shown: ",
        words::count(app.visible().len() as u64, "task"),
        app.total()
    )));
    spans.push(Span::styled(format!("{} running", counts[0]), Style::new().fg(Color::Green)));
    spans.push(Span::raw(format!(", {} other, ", counts[1])));
    let failed = Style::new().fg(if counts[2] > 0 { Color::Red } else { Color::Reset });
    spans.push(Span::styled(format!("{} failed", counts[2]), failed));
    if let Some(why) = &app.lost {
        spans.push(Span::styled(
            format!("   no answer: {}", words::plain(why)),
            Style::new().fg(Color::Yellow),
        ));
    }
    Line::from(spans)
}

fn node_line(node: &NodeView, width: u16) -> Line<'static> {
    let style = if node.state == NodeState::Ready && node.conditions.is_empty() {
        Color::Green
    } else {
        Color::Yellow
    };
    let cpu = node.cpu.used.unwrap_or_default();
    let memory = node.memory.used.unwrap_or_default();
    let mut spans = vec![
        Span::styled(
            format!("{:<16} ", shortened(node.name.as_str(), 16)),
            Style::new().add_modifier(Modifier::BOLD),
        ),
        Span::styled(format!("{:<13}", crate::commands::node::list::state(node)), Style::new().fg(style)),
        Span::raw("cpu "),
        bar(cpu.cpus(), node.cpu.total.cpus()),
        Span::raw(format!(" {:>5}/{:<4}", words::cpu(cpu.cpus()), node.cpu.total.to_string())),
    ];
    if width >= 78 {
        spans.push(Span::raw("mem "));
        spans.push(bar(memory.get() as f64, node.memory.total.get() as f64));
    }
    if width >= 100 {
        spans.push(Span::raw(format!(" {memory}/{}", node.memory.total)));
    }
    if width >= 130 {
        spans.push(Span::raw(format!(
            "   reserved {} cpu, {}   {}",
            node.cpu.reserved,
            node.memory.reserved,
            words::count(node.tasks.into(), "task")
        )));
    }
    Line::from(spans)
}

/// `███▌······`, red when it is nearly full.
fn bar(value: f64, of: f64) -> Span<'static> {
    let part = if of > 0.0 { (value / of).clamp(0.0, 1.0) } else { 0.0 };
    let full = (part * BAR as f64).round() as usize;
    let color = if part > 0.9 {
        Color::Red
    } else if part > 0.7 {
        Color::Yellow
    } else {
        Color::Green
    };
    Span::styled(format!("{}{}", "█".repeat(full), "·".repeat(BAR - full)), Style::new().fg(color))
}

fn order_line(app: &App) -> Line<'static> {
    let order = if app.reversed { ", reversed" } else { "" };
    let mut text = format!("by {}{order}", app.sort.word());
    if app.only_faults {
        text.push_str("   only what does not run");
    }
    if !app.filter.is_empty() || app.typing {
        let _ = write!(text, "   filter: {}{}", words::plain(&app.filter), if app.typing { "_" } else { "" });
    }
    let (from, all) = (app.nodes_from(), app.node_count());
    if all > NODES_SHOWN {
        let _ = write!(text, "   nodes {} to {} of {all} (n p)", from + 1, all.min(from + NODES_SHOWN));
    }
    Line::styled(text, Style::new().add_modifier(Modifier::DIM))
}

fn tasks(area: Rect, buffer: &mut Buffer, app: &App, live: bool) {
    let wide = area.width >= 110;
    let mut heads = vec!["NAME", "STATE", "CPU", "MEMORY", "OF LIMIT", "RESTARTS", "AGE"];
    let mut widths = vec![
        Constraint::Min(14),
        Constraint::Length(22),
        Constraint::Length(6),
        Constraint::Length(9),
        Constraint::Length(BAR as u16),
        Constraint::Length(8),
        Constraint::Length(4),
    ];
    if wide {
        heads.extend(["NET IN", "NET OUT", "NODE", "IMAGE"]);
        widths.extend([
            Constraint::Length(11),
            Constraint::Length(11),
            Constraint::Length(12),
            Constraint::Min(12),
        ]);
    }
    let rows = app.visible();
    let lines = rows.iter().map(|row| task_row(row, app, wide));
    let head = TableRow::new(heads).style(Style::new().add_modifier(Modifier::BOLD));
    let mut table = Table::new(lines, widths).header(head).column_spacing(1);
    if live {
        table = table.row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    }
    let mut state = TableState::default().with_selected(if live { app.selected() } else { None });
    StatefulWidget::render(table, area, buffer, &mut state);
}

fn task_row(row: &Row, app: &App, wide: bool) -> TableRow<'static> {
    let task = &row.task;
    let color = match task.phase {
        Phase::Running if task.stale_since.is_none() => Color::Green,
        Phase::Failed => Color::Red,
        Phase::Completed => Color::Reset,
        _ => Color::Yellow,
    };
    let load = row.load.as_ref();
    let dash = || "-".to_owned();
    let limit = load.and_then(|l| l.memory_limit.map(|limit| bar(l.memory as f64, limit as f64)));
    let mut cells = vec![
        Cell::from(task.name.to_string()),
        Cell::from(Span::styled(words::state(task), Style::new().fg(color))),
        Cell::from(load.map_or_else(dash, |l| words::cpu(l.cpu_now))),
        Cell::from(load.map_or_else(dash, |l| words::bytes(l.memory))),
        Cell::from(limit.unwrap_or_else(|| Span::raw("-"))),
        Cell::from(task.restarts.to_string()),
        Cell::from(words::age(task.since, app.now)),
    ];
    if wide {
        cells.extend([
            Cell::from(words::rate(load.and_then(|l| l.net_rx_bytes_s))),
            Cell::from(words::rate(load.and_then(|l| l.net_tx_bytes_s))),
            Cell::from(task.node.as_ref().map_or_else(dash, ToString::to_string)),
            Cell::from(words::plain(&task.image)),
        ]);
    }
    TableRow::new(cells)
}

/// The selected task in words, and the keys.
fn foot_lines(app: &App) -> Paragraph<'static> {
    let rows = app.visible();
    let about = match app.selected().and_then(|at| rows.get(at)) {
        Some(row) => {
            let t = &row.task;
            let message =
                if t.message.is_empty() { String::new() } else { format!(": {}", words::plain(&t.message)) };
            format!("{} {}{message}   orcactl task inspect {}", t.name, words::state(t), t.name)
        }
        None => "no task".to_owned(),
    };
    let keys = if app.typing {
        "type to filter   Enter keep   Esc clear"
    } else {
        "q quit  / filter  s sort  r reverse  f faults  jk select  space now  ? help"
    };
    Paragraph::new(vec![Line::raw(about), Line::styled(keys, Style::new().add_modifier(Modifier::DIM))])
}

fn help(area: Rect, buffer: &mut Buffer) {
    let lines = [
        "q, Ctrl-C    quit",
        "/            filter by name, image, node or state",
        "Esc          clear the filter",
        "s            sort by the next column",
        "r            reverse the order",
        "f            only what does not run",
        "n p          more nodes, and back",
        "j k, arrows  select; PgUp, PgDn, Home, End",
        "space        ask again now",
        "",
        "CPU is in CPUs: 1.00 is one core. A bar shows",
        "memory against the task's limit.",
    ];
    let (width, height) = (52.min(area.width), 14.min(area.height));
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    Clear.render(place, buffer);
    Paragraph::new(lines.map(Line::raw).to_vec())
        .block(Block::bordered().title(" keys "))
        .render(place, buffer);
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        text.to_owned()
    } else {
        text.chars().take(width - 1).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use orca_api::units::Time;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::app::Sort;
    use super::super::app::tests::picture;
    use super::*;

    fn app() -> App {
        let mut app = App::new(Sort::Cpu);
        app.take(picture(), "2026-11-24T12:05:00Z".parse::<Time>().unwrap());
        app
    }

    #[test]
    fn the_screen_at_80_by_24() {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| screen(frame, &app())).unwrap();
        insta::assert_snapshot!(terminal.backend());
    }

    #[test]
    fn the_help_fits_in() {
        let mut app = app();
        app.help = true;
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| screen(frame, &app)).unwrap();
        insta::assert_snapshot!(terminal.backend());
    }

    #[test]
    fn once_in_a_wide_pipe() {
        insta::assert_snapshot!(text(&app(), 140));
    }

    #[test]
    fn a_screen_of_any_size_is_drawn() {
        for (width, height) in [(1, 1), (10, 3), (79, 5), (300, 100)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            let mut app = app();
            app.help = true;
            terminal.draw(|frame| screen(frame, &app)).unwrap();
        }
    }
}
