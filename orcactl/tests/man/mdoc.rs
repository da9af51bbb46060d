//! Just enough of mdoc(7), the language of manual pages, to write it without surprises.

/// Macros that are looked for in the arguments of other macros too: a word that reads like one must be told apart.
const CALLABLE: &[&str] = &[
    "Ac", "Ad", "An", "Ao", "Ap", "Aq", "Ar", "At", "Bc", "Bo", "Bq", "Brc", "Bro", "Brq", "Bsx", "Bx", "Cd",
    "Cm", "Dc", "Do", "Dq", "Dv", "Dx", "Ec", "Ef", "Em", "En", "Eo", "Er", "Es", "Ev", "Fa", "Fc", "Fl",
    "Fn", "Fo", "Ft", "Fx", "Ic", "In", "Li", "Lk", "Ms", "Mt", "Nm", "No", "Ns", "Nx", "Oc", "Oo", "Op",
    "Ot", "Ox", "Pa", "Pc", "Pf", "Po", "Pq", "Qc", "Ql", "Qo", "Qq", "Sc", "So", "Sq", "Sx", "Sy", "Ta",
    "Tn", "Ux", "Va", "Vt", "Xc", "Xo", "Xr",
];

/// The longest line of text, before what must be escaped is.
const COLUMNS: usize = 74;

/// A page in the making.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// A line with a macro; its arguments are escaped already.
    pub fn mac(&mut self, line: &str) -> &mut Self {
        if line == "Pp" && self.0.ends_with("\n.Pp\n") {
            return self;
        }
        self.0.push('.');
        self.0.push_str(line);
        self.0.push('\n');
        self
    }

    /// Lines of text; a sentence begins a new one.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for sentence in sentences(text) {
            let mut filled = String::new();
            for next in sentence.split_whitespace() {
                if !filled.is_empty() && filled.len() + next.len() >= COLUMNS {
                    self.typed(&filled);
                    filled.clear();
                }
                if !filled.is_empty() {
                    filled.push(' ');
                }
                filled.push_str(next);
            }
            self.typed(&filled);
        }
        self
    }

    fn typed(&mut self, text: &str) {
        self.0.push_str(&line(text));
        self.0.push('\n');
    }

    /// A heading.
    pub fn section(&mut self, title: &str) -> &mut Self {
        self.mac(&format!("Sh {title}"))
    }

    /// Lines as they are typed.
    pub fn block(&mut self, lines: &[String]) -> &mut Self {
        self.mac("Bd -literal -offset indent");
        for text in lines {
            self.typed(text);
        }
        self.mac("Ed")
    }

    /// The page.
    pub fn finish(self) -> String {
        self.0
    }
}

/// Text with nothing in it that the language would take for its own; `-` is the character that is typed.
pub fn literal(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// The same as a line of its own.
pub fn line(text: &str) -> String {
    let text = literal(text);
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// One word as an argument of a macro.
pub fn word(text: &str) -> String {
    let escaped = literal(text).replace('"', "\\(dq");
    let punctuation = text.len() == 1 && text.starts_with(|c: char| ".,:;()[]?!|".contains(c));
    let escaped = if punctuation || CALLABLE.contains(&text) { format!("\\&{escaped}") } else { escaped };
    if text.contains(' ') { format!("\"{escaped}\"") } else { escaped }
}

/// Splits where a sentence ends.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(". ").map(str::trim_end)
}

#[test]
fn what_reads_like_the_language_is_escaped() {
    assert_eq!(word("Op"), "\\&Op");
    assert_eq!(word("|"), "\\&|");
    assert_eq!(word("a b"), "\"a b\"");
    assert_eq!(line(".x --y \\z"), "\\&.x \\-\\-y \\ez");
    assert_eq!(sentences("One. Two. Three").collect::<Vec<_>>(), ["One.", "Two.", "Three"]);
}
