//! Pages out of the tree of arguments.
//!
//! Each begins with what one types (the examples of the help), then tells command by command what can be typed, and
//! ends with exit codes, files and where to read on. Options that hold for every command stand once, in `orcactl(1)`.

use std::collections::BTreeMap;

use clap::builder::PossibleValue;
use clap::{Arg, Command};
use orca_api::error::exit;

use super::mdoc::{Page, word};

/// The date of the pages is that of the newest version, so that two builds of it are the same.
const CHANGES: &str = include_str!("../../../packaging/CHANGELOG.md");

/// What an exit code means.
const EXIT_CODES: &[(u8, &str)] = &[
    (exit::OK, "Done."),
    (exit::FAILED, "It failed; standard error says why, and what to do."),
    (exit::CHANGES, "A plan has changes."),
    (exit::NOT_RUNNING, "What was asked about does not run."),
    (exit::NO_SUCH, "There is no such object."),
    (exit::USAGE, "Wrong usage."),
    (exit::UNREACHABLE, "The daemon cannot be reached."),
    (exit::NOT_ALLOWED, "Not allowed."),
    (exit::CONFIG, "The configuration is wrong, or the state is of a newer version."),
    (exit::TIMEOUT, "The time is up."),
    (exit::INTERRUPTED, "Interrupted."),
];

/// Every page by its file's name.
pub fn all() -> BTreeMap<String, String> {
    let mut root = orcactl::cli::command();
    root.build();
    let mut pages = BTreeMap::from([("orcactl.1".to_owned(), of_root(&root))]);
    for command in shown(&root) {
        pages.insert(format!("orcactl-{}.1", command.get_name()), of_word(command));
    }
    pages
}

/// The examples of a command's help, as they are typed.
pub fn examples(command: &Command) -> Vec<String> {
    let text = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("  ")).map(ToOwned::to_owned).collect()
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn head(name: &str, about: &str) -> Page {
    let mut page = Page::default();
    page.mac(&format!("Dd {}", date())).mac(&format!("Dt {} 1", name.to_uppercase())).mac("Os");
    page.section("NAME").mac(&format!("Nm {name}")).mac(&format!("Nd {}", lower(about)));
    page
}

fn of_root(root: &Command) -> String {
    let mut page = head("orcactl", &about(root));
    page.section("SYNOPSIS").mac("Nm").mac("Op Ar options").mac("Ar command");
    page.mac("Op Ar argument ...");
    page.section("DESCRIPTION").text("For example:").block(&examples(root)).mac("Pp");
    page.mac("Nm")
        .text("asks")
        .mac("Xr orcad 8")
        .text("for what is to be done, over a socket of this machine.");
    page.text("It takes a noun and a verb; the commands without a verb concern the whole.");
    page.text("Each has a page of its own:").mac("Bl -tag -width Ds");
    for command in shown(root) {
        let verbs: Vec<&str> = shown(command).map(Command::get_name).collect();
        page.mac(&format!("It Xr orcactl-{} 1", command.get_name())).text(&sentence(&about(command)));
        if verbs.len() > 1 {
            page.text(&format!("Verbs: {}.", verbs.join(", ")));
        }
    }
    page.mac("El").mac("Pp");
    page.text("What is printed on standard output is data; everything else goes to standard error.");
    page.text("Objects are given by their name, or by at least 4 characters of their id.");
    page.mac("Pp").text("These options hold for every command:");
    let global: Vec<&Arg> = root.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    options(&mut page, &global);
    page.section("ENVIRONMENT").mac("Bl -tag -width Ds");
    for arg in root.get_arguments() {
        if let Some(variable) = arg.get_env() {
            page.mac(&format!("It Ev {}", word(&variable.to_string_lossy())));
            page.text("Is used where").mac(&flag(arg)).text("is not given.");
        }
    }
    page.mac("It Ev NO_COLOR").text("Where it is set to anything, nothing is coloured.");
    page.mac("El");
    page.section("FILES").mac("Bl -tag -width Ds");
    page.mac("It Pa /run/orca/orca.sock").text("The control socket, for the group").mac("Sy orca .");
    page.text("Whoever is in it is root on every node.");
    page.mac("It Pa /run/orca/view.sock").text("The view socket, for the group").mac("Sy orca-view .");
    page.text("It is used where the control socket may not be, for what only reads.");
    page.mac("El");
    page.section("EXIT STATUS").mac("Bl -tag -width Ds -compact");
    for (code, meaning) in EXIT_CODES {
        page.mac(&format!("It {code}")).text(meaning);
    }
    page.mac("El").mac("Pp").mac("Nm Cm task exec").text("exits as its command does.");
    page.section("SEE ALSO");
    let mut pages: Vec<String> = shown(root).map(|word| format!("orcactl-{} 1", word.get_name())).collect();
    pages.sort();
    see(&mut page, pages);
    page.finish()
}

fn of_word(command: &Command) -> String {
    let name = format!("orcactl-{}", command.get_name());
    let mut page = head(&name, &about(command));
    let verbs: Vec<&Command> = shown(command).collect();
    page.section("SYNOPSIS");
    for verb in if verbs.is_empty() { vec![command] } else { verbs.clone() } {
        synopsis(&mut page, verb);
        shown(verb).filter(|_| !verbs.is_empty()).for_each(|below| synopsis(&mut page, below));
    }
    page.section("DESCRIPTION").text("For example:").block(&examples(command)).mac("Pp");
    if verbs.is_empty() {
        arguments(&mut page, command);
    } else {
        page.text(&sentence(&about(command))).text("The commands are:");
    }
    // A verb may have verbs of its own, as `node token list`.
    for verb in verbs.into_iter().flat_map(|verb| std::iter::once(verb).chain(shown(verb))) {
        page.mac(&format!("Ss {}", full(verb)));
        page.text(&sentence(&about(verb)));
        let aliases: Vec<String> = verb.get_visible_aliases().map(|a| format!("Cm {}", word(a))).collect();
        if !aliases.is_empty() {
            page.text("Also:").mac(&format!("{} .", aliases.join(" , ")));
        }
        page.mac("Pp").text("For example:").block(&examples(verb));
        arguments(&mut page, verb);
    }
    page.section("FILES").mac("Bl -tag -width Ds");
    page.mac("It Pa /run/orca/orca.sock").text("The control socket, unless").mac("Fl \\-socket");
    page.text("names another.").mac("El");
    page.section("EXIT STATUS");
    page.text("0 when it is done, and 1 when it failed.").text("The other codes are told in");
    page.mac("Xr orcactl 1 .");
    if command.find_subcommand("exec").is_some() {
        page.mac("Cm exec").text("exits as its command does.");
    }
    page.section("SEE ALSO");
    see(&mut page, vec!["orcactl 1".to_owned()]);
    page.finish()
}

/// What a command takes: its own arguments, by the headings of its help.
fn arguments(page: &mut Page, command: &Command) {
    let own: Vec<&Arg> =
        command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set()).collect();
    let positional: Vec<&Arg> = own.iter().copied().filter(|arg| arg.is_positional()).collect();
    if !positional.is_empty() {
        page.mac("Pp").text("It takes:");
        options(page, &positional);
    }
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in own.iter().filter(|arg| !arg.is_positional()) {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    for heading in headings {
        let of: Vec<&Arg> =
            own.iter().copied().filter(|a| !a.is_positional() && a.get_help_heading() == heading).collect();
        page.mac("Pp");
        match heading {
            Some(heading) => page.text(&format!("{heading}:")),
            None => page.text("Options:"),
        };
        options(page, &of);
    }
}

fn options(page: &mut Page, args: &[&Arg]) {
    page.mac("Bl -tag -width Ds");
    for arg in args {
        page.mac(&format!("It {}", item(arg)));
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        page.text(&sentence(&help));
        let values: Vec<PossibleValue> = if arg.is_positional() || arg.get_action().takes_values() {
            arg.get_possible_values()
        } else {
            Vec::new()
        };
        let values: Vec<&PossibleValue> = values.iter().filter(|value| !value.is_hide_set()).collect();
        let said = values.iter().filter(|value| value.get_help().is_some()).count();
        if !values.is_empty() && said == values.len() {
            page.mac("Bl -tag -width Ds -compact");
            for value in &values {
                page.mac(&format!("It Cm {}", word(value.get_name())));
                page.text(&sentence(&value.get_help().map(ToString::to_string).unwrap_or_default()));
            }
            page.mac("El");
        } else if !values.is_empty() {
            let names: Vec<String> = values.iter().map(|value| word(value.get_name())).collect();
            page.text("One of").mac(&format!("Cm {} .", names.join(" , ")));
        }
        if !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
            let defaults: Vec<String> =
                arg.get_default_values().iter().map(|value| word(&value.to_string_lossy())).collect();
            if !defaults.is_empty() {
                page.text("Default:").mac(&format!("Ql {} .", defaults.join(" ")));
            }
        }
        if let Some(variable) = arg.get_env() {
            page.text("Where it is not given:").mac(&format!("Ev {} .", word(&variable.to_string_lossy())));
        }
    }
    page.mac("El");
}

/// An argument as the head of a list's item.
fn item(arg: &Arg) -> String {
    let names: Vec<String> =
        arg.get_value_names().unwrap_or_default().iter().map(|name| format!("Ar {}", word(name))).collect();
    let values = names.join(" ");
    if arg.is_positional() {
        let many = arg.get_num_args().is_some_and(|range| range.max_values() > 1);
        return if many { format!("{values} ...") } else { values };
    }
    let value = if arg.get_action().takes_values() { format!(" {values}") } else { String::new() };
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("Fl {short} , \\-{}{value}", word(long)),
        (Some(short), None) => format!("Fl {short}{value}"),
        (None, Some(long)) => format!("Fl \\-{}{value}", word(long)),
        (None, None) => values,
    }
}

fn flag(arg: &Arg) -> String {
    format!("Fl \\-{}", word(arg.get_long().unwrap_or_default()))
}

/// The usage of a command, line by line, as the help has it.
fn synopsis(page: &mut Page, command: &Command) {
    let name = full(command);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").to_owned();
    for line in usage.lines().map(str::trim).filter(|line| !line.is_empty()) {
        page.mac(&format!("Nm {name}"));
        let mut words = line.strip_prefix(&name).unwrap_or(line).split_whitespace().peekable();
        while let Some(token) = words.next() {
            let (token, more) = match token.strip_suffix("...") {
                Some(token) => (token, " ..."),
                None => (token, ""),
            };
            let optional = token.strip_prefix('[').and_then(|token| token.strip_suffix(']'));
            let bare = optional.unwrap_or(token);
            let bare = bare.trim_start_matches('<').trim_end_matches('>');
            let said = if bare == "OPTIONS" {
                "Ar options".to_owned()
            } else if bare == "--" {
                "Fl \\-".to_owned()
            } else if let Some(flag) = bare.strip_prefix('-') {
                let value =
                    words.next_if(|next| next.chars().all(|c| c.is_ascii_uppercase() || "<>".contains(c)));
                let value = value.map(|v| format!(" Ar {}", v.trim_matches(['<', '>'])));
                format!("Fl {}{}", word(flag), value.unwrap_or_default())
            } else {
                format!("Ar {}", word(bare))
            };
            page.mac(&if optional.is_some() { format!("Op {said}{more}") } else { format!("{said}{more}") });
        }
    }
}

fn see(page: &mut Page, mut pages: Vec<String>) {
    pages.push("orcad.toml 5".to_owned());
    pages.push("orcad 8".to_owned());
    let last = pages.len() - 1;
    for (i, of) in pages.iter().enumerate() {
        page.mac(&if i == last { format!("Xr {of}") } else { format!("Xr {of} ,") });
    }
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// `orcactl task start`.
fn full(command: &Command) -> String {
    command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// With a full stop.
fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// A description in a line of its own begins with a small letter.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn date() -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let newest = CHANGES.lines().find_map(|line| line.strip_prefix("## ")).unwrap();
    let mut parts = newest.rsplit(' ').next().unwrap().split('-').map(|part| part.parse::<usize>().unwrap());
    let (year, month, day) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    format!("{} {day}, {year}", MONTHS[month - 1])
}
