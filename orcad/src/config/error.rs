//! What is wrong with a configuration, told as a compiler tells it: file, line, column, the words, and a hint.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where: a path, `ORCA_LOG_LEVEL`, `--log-level`.
    pub place: String,
    /// The whole text and the bytes of it that are meant; `None` where a file as a whole is refused.
    pub excerpt: Option<(Arc<str>, Range<usize>)>,
    /// The key, where one is known.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write or type.
    pub hint: Option<String>,
}

/// All mistakes of a configuration; never empty. [`fmt::Display`] is the plain rendering, without a final newline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// In the order of the files, then of the text.
    pub errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// The exit code of a daemon that cannot start for them (`EX_CONFIG`): systemd does not try again.
    pub const EXIT_CODE: u8 = 78;

    /// As for a terminal.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        self.errors.iter().map(|error| error.render(&renderer)).collect::<Vec<_>>().join("\n\n")
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl ConfigError {
    /// Line and column of the first byte, from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.excerpt.as_ref().map(|(text, span)| orca_api::text::position(text, span.start))
    }

    fn render(&self, renderer: &Renderer) -> String {
        // The title is one line that says everything, for logs that keep no more than that.
        let mut title = self.place.clone();
        if let Some((line, column)) = self.position() {
            title = format!("{title}: line {line}, column {column}");
        }
        if let Some(key) = &self.key {
            title = format!("{title}: `{key}`");
        }
        let mut group = Level::ERROR
            .primary_title(format!("{title}: {}", self.message))
            .elements(Vec::<annotate_snippets::Element<'_>>::new());
        if let Some((text, span)) = &self.excerpt {
            group = group.element(
                Snippet::source(text.as_ref())
                    .path(self.place.as_str())
                    .annotation(AnnotationKind::Primary.span(span.clone())),
            );
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
        }
        renderer.render(&[group])
    }
}
