//! `orcactl job init`: an example of a job's file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use orca_api::error::exit;
use orca_api::job::schema::EXAMPLE;

use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::Printer;

/// Writes the example to a file that is not there yet, or to standard output.
pub fn run(path: &Path) -> Outcome {
    let printer = Printer::plain();
    if path == Path::new("-") {
        printer.text(EXAMPLE)?;
        return Ok(exit::OK);
    }
    let name = path.display();
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(EXAMPLE.as_bytes()));
    if let Err(error) = written {
        let failure = Failure::new(format!("{name} cannot be written"));
        return Err(if error.kind() == ErrorKind::AlreadyExists {
            failure
                .because("a file of this name is there already, and is not touched")
                .hint("orcactl job init OTHER.toml, or orcactl job init - for standard output")
        } else {
            failure.because(error.to_string()).hint("orcactl job init - writes to standard output")
        });
    }
    printer.note(format!("{name} is written: read it, change it, then"));
    printer.note(format!("  orcactl job plan {name}"));
    printer.note(format!("  orcactl job run {name}"));
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use orca_api::job::read::{self, Variables};
    use orca_api::job::{JobType, Order};

    use super::EXAMPLE;

    #[test]
    fn the_example_is_valid() {
        let file = read::read_toml(EXAMPLE, &Variables::new()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((file.name.as_str(), file.spec.kind), ("shop", JobType::Service));
        assert_eq!(file.spec.groups.keys().collect::<Vec<_>>(), ["api", "proxy"]);
        assert_eq!(file.spec.groups["api"].count, 2);
        assert_eq!(file.spec.groups["proxy"].update.order, Order::StopFirst);
        let other = Variables::from([("tag".to_owned(), "9".to_owned())]);
        let other = read::read_toml(EXAMPLE, &other).unwrap();
        assert!(other.spec.groups["api"].spec.image.as_str().ends_with(":9"), "its variable is used");
    }

    /// A line that is commented out is an offer: with the `#` taken away it must be one that is read.
    #[test]
    fn what_is_commented_out_is_valid_too() {
        let offers: Vec<&str> = EXAMPLE
            .lines()
            .filter(|line| line.len() > 1 && line.starts_with('#') && !line.starts_with("# "))
            .collect();
        assert!(offers.len() >= 5, "{offers:?}");
        for offer in offers {
            let text = EXAMPLE.replacen(&format!("\n{offer}\n"), &format!("\n{}\n", &offer[1..]), 1);
            assert_ne!(text, EXAMPLE, "{offer}");
            if let Err(error) = read::read_toml(&text, &Variables::new()) {
                panic!("{offer}: {error}");
            }
        }
    }

    #[test]
    fn it_fits_80_columns() {
        assert!(EXAMPLE.lines().all(|line| line.chars().count() <= 80));
    }
}
