//! `orcactl man DIR`: man pages from the same tree as the help: `orcactl.1`, and one page for each word after it,
//! with the commands below that word as sections.

use std::io;
use std::path::Path;

use clap_mangen::Man;
use orca_api::error::exit;

use super::Outcome;
use crate::cli;
use crate::output::error::Failure;
use crate::output::printer::Printer;

/// Writes the pages into a folder.
pub fn run(folder: &Path) -> Outcome {
    let printer = Printer::plain();
    let failure = |error: &io::Error| {
        Failure::new(format!("the man pages cannot be written to {}", folder.display()))
            .because(error.to_string())
            .hint("name a folder that may be written to")
    };
    std::fs::create_dir_all(folder).map_err(|error| failure(&error))?;
    let mut root = cli::command();
    root.build();
    let mut pages = vec![(String::from("orcactl"), root.clone())];
    for word in root.get_subcommands().filter(|word| !word.is_hide_set()) {
        pages.push((format!("orcactl-{}", word.get_name()), word.clone()));
    }
    for (name, command) in pages {
        let path = folder.join(format!("{name}.1"));
        let page = page(&name, &command).and_then(|page| std::fs::write(&path, page));
        page.map_err(|error| failure(&error))?;
        printer.line(path.display())?;
    }
    Ok(exit::OK)
}

fn page(name: &str, command: &clap::Command) -> io::Result<Vec<u8>> {
    let title = name.to_uppercase();
    let see_also = if name == "orcactl" { "orcad(8)" } else { "orcactl(1)" };
    let full = command.get_bin_name().unwrap_or(name).to_owned();
    // The title and the name line carry the page's name, the synopsis the command's.
    let head = Man::new(command.clone().name(name.to_owned()).bin_name(&full))
        .title(&title)
        .date(date())
        .source("orca")
        .manual("orca");
    let mut out = Vec::new();
    head.render_title(&mut out)?;
    head.render_name_section(&mut out)?;
    head.render_synopsis_section(&mut out)?;
    head.render_description_section(&mut out)?;
    examples(command, ".SH", &mut out);
    head.render_options_section(&mut out)?;
    if name == "orcactl" {
        head.render_subcommands_section(&mut out)?;
    } else {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            section(sub, &mut out)?;
        }
    }
    out.extend_from_slice(format!(".SH \"SEE ALSO\"\n{}\n", see_also.replace('-', "\\-")).as_bytes());
    Ok(tidy(&String::from_utf8_lossy(&out)).into_bytes())
}

/// The date of the pages: of the source, where a build says so, so that two builds of it are the same; else today.
fn date() -> String {
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let time = epoch.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.unwrap_or_else(jiff::Timestamp::now).strftime("%Y-%m-%d").to_string()
}

/// Vertical space in one macro where clap_mangen writes three, which `mandoc -T lint` warns about.
fn tidy(page: &str) -> String {
    page.replace("\n.br\n\n.br\n", "\n.sp\n")
}

/// A command below the page's word: a section with its synopsis, examples and options.
fn section(command: &clap::Command, out: &mut Vec<u8>) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    // Options that hold for every command stand once, in the page's own section.
    let own = command
        .clone()
        .bin_name(&name)
        .mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
    let man = Man::new(own);
    let mut text = Vec::new();
    man.render_synopsis_section(&mut text)?;
    examples(command, ".SH", &mut text);
    man.render_options_section(&mut text)?;
    let text = String::from_utf8_lossy(&text).replace(".SH ", ".SS ");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    out.extend_from_slice(
        format!(".SH \"{}\"\n{about}.\n{text}", name.to_uppercase().replace('-', "\\-")).as_bytes(),
    );
    Ok(())
}

/// The examples of the help, unfilled, as they are typed.
fn examples(command: &clap::Command, heading: &str, out: &mut Vec<u8>) {
    let Some(text) = command.get_before_help() else { return };
    let text = text.to_string();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("  "))
        .map(|line| line.trim().replace('\\', "\\e").replace('-', "\\-"));
    let lines = lines.collect::<Vec<_>>().join("\n");
    out.extend_from_slice(format!("{heading} EXAMPLES\n.nf\n{lines}\n.fi\n").as_bytes());
}
