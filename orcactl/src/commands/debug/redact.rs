//! Secrets out of what is handed to others.
//!
//! Two nets, one behind the other. Where the place tells (the environment of a task, a key named `password`), the
//! value is replaced, whatever it is. What was replaced so is then looked for in every other text, for a program
//! prints its settings into its log. Texts themselves are searched for what a secret looks like: `password=…`, a
//! password in an address, an `Authorization` header, a private key, a join token.
//!
//! What cannot be known is not claimed: a secret under a harmless name, in a text of its own, stays.

use std::collections::BTreeSet;

use serde_json::Value;

/// What stands where a secret stood.
pub(super) const MARK: &str = "[replaced]";
/// A shorter value of a variable is not looked for in texts: `true`, `info` and `8080` stand everywhere.
const KNOWN_BYTES_MIN: usize = 6;
/// Parts of names whose values are secrets.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "credential",
    "private_key",
    "private-key",
    "access_key",
    "access-key",
    "authorization",
];
/// Names that are looked for whole: they are parts of harmless ones.
const NAMES_WHOLE: &[&str] = &["auth", "identitytoken", "registrytoken", "pass", "pwd"];
/// Names that a part of [`NAMES`] is in, and that hold no secret.
const HARMLESS: &[&str] = &["tokens", "token_count", "secret_count"];
/// What begins a join token.
const TOKEN_PREFIX: &str = "orca1-";

/// What must not leave this machine, and how often it was met.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    known: BTreeSet<String>,
    replaced: u64,
}

impl Redactor {
    /// How often something was replaced.
    pub(super) fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Replaces secrets that their place in a document tells, and keeps them in mind for [`Self::text`].
    pub(super) fn learn(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match (key.as_str(), &mut *value) {
                        ("env", Value::Object(variables)) => {
                            for value in variables.values_mut() {
                                self.hide(value);
                            }
                        }
                        ("env" | "Env", Value::Array(list)) => {
                            for value in list {
                                self.hide_assigned(value);
                            }
                        }
                        (key, Value::String(_)) if is_secret_name(key) => self.hide(value),
                        _ => self.learn(value),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.learn(value)),
            _ => {}
        }
    }

    fn hide(&mut self, value: &mut Value) {
        if let Value::String(text) = value {
            self.know(text);
        }
        *value = Value::from(MARK);
        self.replaced += 1;
    }

    fn hide_assigned(&mut self, value: &mut Value) {
        if let Value::String(text) = value
            && let Some((name, secret)) = text.split_once('=')
        {
            self.know(secret);
            *text = format!("{name}={MARK}");
            self.replaced += 1;
        }
    }

    fn know(&mut self, secret: &str) {
        if secret.len() >= KNOWN_BYTES_MIN && secret != MARK {
            self.known.insert(secret.to_owned());
            // As it stands in JSON, in a log for example.
            let escaped = Value::from(secret).to_string();
            self.known.insert(escaped[1..escaped.len() - 1].to_owned());
        }
    }

    /// Every string of a document, by what it looks like and what is known.
    pub(super) fn strings(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(list) => {
                // `--password x` is two words of a command.
                let mut follows = false;
                for value in list {
                    if follows && value.is_string() {
                        self.hide(value);
                    }
                    follows = value.as_str().is_some_and(|word| {
                        word.strip_prefix("--").is_some_and(|w| !w.contains('=') && is_secret_name(w))
                    });
                    self.strings(value);
                }
            }
            Value::Object(map) => map.values_mut().for_each(|value| self.strings(value)),
            _ => {}
        }
    }

    /// A text, by what it looks like and what is known.
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut out = text.to_owned();
        // The longest first: one secret may be a part of another.
        let mut known: Vec<&String> = self.known.iter().collect();
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in known {
            let times = out.matches(secret.as_str()).count();
            if times > 0 {
                self.replaced += times as u64;
                out = out.replace(secret.as_str(), MARK);
            }
        }
        let out = self.keys(&out);
        let ends = out.ends_with('\n');
        let mut lines: Vec<String> = out.lines().map(|line| self.line(line)).collect();
        if ends {
            lines.push(String::new());
        }
        lines.join("\n")
    }

    /// Private keys in their usual armour, of whatever kind.
    fn keys(&mut self, text: &str) -> String {
        const BEGIN: &str = "-----BEGIN ";
        const END: &str = "-----END ";
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(BEGIN) {
            let (before, armoured) = rest.split_at(start);
            out.push_str(before);
            let title = armoured[BEGIN.len()..].split("-----").next().unwrap_or_default();
            // Cut off, it goes to the end.
            let end = armoured.find(END).map_or(armoured.len(), |end| {
                let after = armoured[end + END.len()..].find("-----");
                after.map_or(armoured.len(), |after| end + END.len() + after + "-----".len())
            });
            if title.contains("PRIVATE") {
                out.push_str(MARK);
                self.replaced += 1;
            } else {
                out.push_str(&armoured[..end]);
            }
            rest = &armoured[end..];
        }
        out + rest
    }

    fn line(&mut self, line: &str) -> String {
        let line = self.header(line);
        let line = self.addresses(&line);
        let line = self.tokens(&line);
        self.assignments(&line)
    }

    /// `Authorization: Basic …`, to the end of the line or the quote.
    fn header(&mut self, line: &str) -> String {
        const NAME: &str = "authorization:";
        let Some(at) = line.to_ascii_lowercase().find(NAME) else { return line.to_owned() };
        let value = at + NAME.len();
        let end = line[value..].find(['"', '\'']).map_or(line.len(), |end| value + end);
        if line[value..end].trim().is_empty() {
            return line.to_owned();
        }
        self.replaced += 1;
        format!("{} {MARK}{}", &line[..value], &line[end..])
    }

    /// `scheme://user:password@host`.
    fn addresses(&mut self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(at) = rest.find("://") {
            let (before, after) = rest.split_at(at + 3);
            out.push_str(before);
            let end =
                after.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c)).unwrap_or(after.len());
            rest = match after[..end].rfind('@') {
                Some(at) if after[..at].contains(':') => {
                    out.push_str(MARK);
                    self.replaced += 1;
                    &after[at..]
                }
                _ => after,
            };
        }
        out + rest
    }

    fn tokens(&mut self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(at) = rest.find(TOKEN_PREFIX) {
            let (before, token) = rest.split_at(at);
            out.push_str(before);
            let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
            let end = token.find(|c: char| !word(c)).unwrap_or(token.len());
            if end > TOKEN_PREFIX.len() {
                out.push_str(MARK);
                self.replaced += 1;
            } else {
                out.push_str(&token[..end]);
            }
            rest = &token[end..];
        }
        out + rest
    }

    /// `password=…`, `"password": "…"`, `--password …`.
    fn assignments(&mut self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some((name, value, end)) = assigned(rest) {
            if is_secret_name(&rest[name.0..name.1]) && value < end && !rest[value..].starts_with(MARK) {
                out.push_str(&rest[..value]);
                out.push_str(MARK);
                self.replaced += 1;
            } else {
                out.push_str(&rest[..end]);
            }
            rest = &rest[end..];
        }
        out + rest
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// The first `name=value` or `name: value` of a text: where the name is, where the value begins and where it ends.
fn assigned(text: &str) -> Option<((usize, usize), usize, usize)> {
    let sign = text.find(['=', ':'])?;
    let before = text[..sign].trim_end().trim_end_matches(['"', '\'', '\\']);
    let name = before
        .rfind(|c: char| !is_name(c))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let after = &text[sign + 1..];
    let space = after.len() - after.trim_start_matches([' ', '\t']).len();
    let quoted = after[space..].trim_start_matches('\\');
    let start = after.len() - quoted.len();
    let (value, end) = match quoted.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inner = &quoted[1..];
            // An escaped quote belongs to the value, unless the opening one was escaped as well.
            let mut end = inner.len();
            let mut escaped = false;
            for (i, c) in inner.char_indices() {
                if c == quote && (!escaped || start > space) {
                    end = if start > space && escaped { i - 1 } else { i };
                    break;
                }
                escaped = c == '\\' && !escaped;
            }
            (start + 1, start + 1 + end)
        }
        _ => {
            let end =
                quoted.find(|c: char| c.is_whitespace() || "&,;\"'})]".contains(c)).unwrap_or(quoted.len());
            (start, start + end)
        }
    };
    let value = sign + 1 + value;
    // Whatever the value is, the search goes on behind the sign.
    let secret = is_secret_name(&text[name..before.len()]);
    let end = if secret { sign + 1 + end } else { sign + 1 };
    Some(((name, before.len()), if secret { value } else { end }, end))
}

/// Whether the value of something of this name is a secret.
fn is_secret_name(name: &str) -> bool {
    let name = name.trim_start_matches('-').to_ascii_lowercase();
    let last = name.rsplit(['_', '-', '.']).next().unwrap_or_default();
    if HARMLESS.iter().any(|harmless| name.ends_with(harmless)) {
        return false;
    }
    // A path of a file with a secret is none, nor is how long it lives.
    if ["file", "path", "ttl", "expires", "name", "id"].contains(&last) {
        return false;
    }
    NAMES.iter().any(|part| name.contains(part)) || NAMES_WHOLE.contains(&last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_replaced_whatever_they_are() {
        let mut redactor = Redactor::default();
        let mut value = json!({"spec": {"env": {"LEVEL": "info", "DB": "s3cr3t-value"}, "image": "nginx"},
            "Config": {"Env": ["PATH=/bin", "KEY=another-value"]}});
        redactor.learn(&mut value);
        assert_eq!(
            value,
            json!({"spec": {"env": {"LEVEL": MARK, "DB": MARK}, "image": "nginx"},
                "Config": {"Env": ["PATH=[replaced]", "KEY=[replaced]"]}})
        );
        assert_eq!(
            redactor.text("connects with s3cr3t-value, level info"),
            "connects with [replaced], level info"
        );
        assert_eq!(redactor.text("another-value"), MARK);
        assert_eq!(redactor.replaced(), 6);
    }

    #[test]
    fn a_value_is_found_in_its_json_form_too() {
        let mut redactor = Redactor::default();
        redactor.learn(&mut json!({"env": {"A": "with \"quotes\"\nand lines"}}));
        assert_eq!(redactor.text(r#"{"m":"with \"quotes\"\nand lines"}"#), r#"{"m":"[replaced]"}"#);
    }

    #[test]
    fn what_a_secret_looks_like() {
        for (text, wanted) in [
            ("POSTGRES_PASSWORD=hunter2 LEVEL=info", "POSTGRES_PASSWORD=[replaced] LEVEL=info"),
            ("password = \"hunter2 with spaces\" # x", "password = \"[replaced]\" # x"),
            ("password = \"hunter2\\\" more\"", "password = \"[replaced]\""),
            (
                "{\"level\":\"info\",\"api_key\":\"hunter2\"}",
                "{\"level\":\"info\",\"api_key\":\"[replaced]\"}",
            ),
            ("log=\"{\\\"secret\\\":\\\"hunter2\\\"}\"", "log=\"{\\\"secret\\\":\\\"[replaced]\\\"}\""),
            ("GET /x?token=hunter2&n=1", "GET /x?token=[replaced]&n=1"),
            ("--token=hunter2", "--token=[replaced]"),
            ("\"auth\": \"aHVudGVyMg==\"", "\"auth\": \"[replaced]\""),
            (
                "pull from https://me:hunter2@registry.example/x",
                "pull from https://[replaced]@registry.example/x",
            ),
            ("https://me:hun@ter2@registry.example", "https://[replaced]@registry.example"),
            ("Authorization: Basic aHVudGVyMg==", "Authorization: [replaced]"),
            ("curl -H 'authorization: Bearer hunter2' x", "curl -H 'authorization: [replaced]' x"),
            ("join with orca1-hunter2-abc now", "join with [replaced] now"),
            (
                "a\n-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----\nb\n",
                "a\n[replaced]\nb\n",
            ),
            ("-----BEGIN PRIVATE KEY-----\nhunter2", "[replaced]"),
        ] {
            let mut redactor = Redactor::default();
            assert_eq!(redactor.text(text), wanted);
            assert_eq!(redactor.replaced(), 1, "{text}");
        }
    }

    #[test]
    fn what_is_none_stays() {
        for text in [
            "time=12:30:05 level=info tokens=5",
            "https://registry.example:5000/x?a=b",
            "mail me@example.org: hello",
            "token_ttl = \"1h\"",
            "registry_config = \"/etc/orca/docker-config.json\"",
            "password_file=/run/secrets/x",
            "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n",
            "two\n\nlines",
            "ü: é=ö",
            "",
        ] {
            let mut redactor = Redactor::default();
            assert_eq!(redactor.text(text), text);
            assert_eq!(redactor.replaced(), 0);
        }
    }

    #[test]
    fn words_of_a_command() {
        let mut value =
            json!({"command": ["serve", "--password", "hunter2", "--verbose", "x", "--token=hunter2"]});
        Redactor::default().strings(&mut value);
        assert_eq!(
            value,
            json!({"command": ["serve", "--password", MARK, "--verbose", "x", "--token=[replaced]"]})
        );
    }
}
