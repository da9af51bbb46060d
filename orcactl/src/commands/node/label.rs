//! `orcactl node label`.

use orca_api::cluster::SetLabels;
use orca_api::control::NodeView;
use orca_api::node::check_labels;
use orca_api::route::Route;

use super::availability;
use crate::cli::node::LabelArgs;
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::Printer;

/// Changes the labels of a node.
pub async fn run(client: &Client, printer: Printer, args: &LabelArgs) -> Outcome {
    let request = request(&args.labels, args.accept)?;
    let call = client.call(Route::NodeLabels).part(&args.node).body(&request)?;
    let node = call.answer::<NodeView>().await?.body;
    let each = Each { done: vec![node], ..Each::default() };
    availability::say(&printer, &each, |node| {
        if args.accept {
            format!("what {} reports of itself counts from now on", node.name)
        } else {
            format!("labels of {}: orcactl node inspect {} shows them", node.name, node.name)
        }
    })
}

/// `KEY=VALUE` sets, `KEY-` removes.
fn request(words: &[String], accept: bool) -> Result<SetLabels, Failure> {
    let mut request = SetLabels { accept, ..SetLabels::default() };
    for word in words {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) => {
                request.set.insert(key.to_owned(), value.to_owned());
            }
            (None, Some(key)) if !key.is_empty() => request.remove.push(key.to_owned()),
            _ => {
                return Err(Failure::usage(format!("`{word}` neither sets nor removes a label"))
                    .hint("disk=ssd sets one, disk- removes it"));
            }
        }
    }
    check_labels(&request.set).map_err(|why| Failure::usage(why).hint("orcactl node label n2 disk=ssd"))?;
    if let Some(both) = request.remove.iter().find(|key| request.set.contains_key(*key)) {
        return Err(Failure::usage(format!("the label `{both}` is set and removed at once"))
            .hint("leave one of them out"));
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn labels_are_set_and_removed() {
        let request = request(&words("disk=ssd rack- empty= a-b=c-"), false).unwrap();
        assert_eq!(request.remove, ["rack"]);
        let set: Vec<(&str, &str)> = request.set.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(set, [("a-b", "c-"), ("disk", "ssd"), ("empty", "")]);
    }

    #[test]
    fn what_is_no_label_is_refused() {
        for bad in ["disk", "-", "=x", "disk=a/b c", "a=1 a-", "käse=1"] {
            let bad: Vec<String> = if bad.contains("b c") { vec![bad.to_owned()] } else { words(bad) };
            assert!(request(&bad, false).is_err(), "{bad:?}");
        }
    }
}
