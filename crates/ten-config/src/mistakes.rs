//! Mistakes in a config and how they are shown: what, where with a caret, what to do.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::Source;

/// Most mistakes that are printed. Whoever has more has one cause for most of them.
const MOST_SHOWN: usize = 50;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, naming the thing.
    pub title: String,
    /// The offending bytes of the text.
    pub span: Range<usize>,
    /// What stands under the caret; may be empty.
    pub label: String,
    /// Another place that belongs to the mistake, with its own label.
    pub also: Option<(Range<usize>, String)>,
    /// What to do.
    pub help: Option<String>,
}

impl Mistake {
    pub(crate) fn at(span: Range<usize>, title: impl Into<String>) -> Self {
        Self { title: title.into(), span, label: String::new(), also: None, help: None }
    }

    pub(crate) fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    pub(crate) fn also(self, span: Range<usize>, label: impl Into<String>) -> Self {
        Self { also: Some((span, label.into())), ..self }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Every mistake of one config, in the order of the text. Its `Display` is
/// [`render`](Self::render) without colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    name: String,
    text: String,
    mistakes: Vec<Mistake>,
}

impl ConfigErrors {
    pub(crate) fn new(source: &Source, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by_key(|mistake| (mistake.span.start, mistake.span.end));
        // One thing may be found wrong twice in the same way, such as a variable that is
        // misspelt twice in one command.
        mistakes.dedup();
        Self { name: source.path().display().to_string(), text: source.text().into(), mistakes }
    }

    /// The mistakes, in the order of the text; never empty.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// The whole report, ending in a newline; with ANSI colours where `color` is set.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut report = String::new();
        for mistake in self.mistakes.iter().take(MOST_SHOWN) {
            report += &self.render_one(mistake, &renderer);
            report += "\n\n";
        }
        let count = self.mistakes.len();
        match count.saturating_sub(MOST_SHOWN) {
            0 if count == 1 => {
                report.pop();
            }
            0 => report += &format!("{count} mistakes in {}\n", self.name),
            more => report += &format!("{count} mistakes in {}, {more} not shown\n", self.name),
        }
        report
    }

    fn render_one(&self, mistake: &Mistake, renderer: &Renderer) -> String {
        let spans = || std::iter::once(&mistake.span).chain(mistake.also.iter().map(|(s, _)| s));
        let excerpt = Excerpt::around(&self.text, spans());
        let label = Some(mistake.label.as_str()).filter(|label| !label.is_empty());
        let mut snippet = Snippet::source(excerpt.text)
            .path(self.name.as_str())
            .line_start(excerpt.line)
            .annotation(AnnotationKind::Primary.span(excerpt.shift(&mistake.span)).label(label));
        if let Some((span, label)) = &mistake.also {
            let other = AnnotationKind::Context.span(excerpt.shift(span));
            snippet = snippet.annotation(other.label(label.as_str()));
        }
        let mut group = Level::ERROR.primary_title(mistake.title.as_str()).element(snippet);
        if let Some(help) = &mistake.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigErrors {}

/// The lines that a mistake touches, so that the cost of showing one does not grow with the
/// size of the file.
struct Excerpt<'a> {
    text: &'a str,
    /// Offset of the excerpt in the whole text.
    start: usize,
    /// Number of its first line.
    line: usize,
}

impl<'a> Excerpt<'a> {
    fn around<'s>(text: &'a str, spans: impl Iterator<Item = &'s Range<usize>>) -> Self {
        let (first, last) = spans.fold((text.len(), 0), |(first, last), span| {
            (first.min(span.start), last.max(span.end))
        });
        let first = text.floor_char_boundary(first);
        let last = text.ceil_char_boundary(last.clamp(first, text.len()));
        let start = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[last..].find('\n').map_or(text.len(), |newline| last + newline);
        let line = 1 + text[..start].matches('\n').count();
        Self { text: &text[start..end], start, line }
    }

    fn shift(&self, span: &Range<usize>) -> Range<usize> {
        let inside = |offset: usize| offset.saturating_sub(self.start).min(self.text.len());
        let start = self.text.floor_char_boundary(inside(span.start));
        start..self.text.ceil_char_boundary(inside(span.end)).max(start)
    }
}
