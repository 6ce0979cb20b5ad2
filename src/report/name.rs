//! Names from a file system or a model, as text of the page.

use maud::Render;

/// A name from a file system or a model. Characters that end or reverse a line are replaced.
#[derive(Clone, Copy)]
pub(super) struct Name<'a>(pub(super) &'a str);

impl Render for Name<'_> {
    fn render_to(&self, buffer: &mut String) {
        let ends_or_reverses = |c: char| {
            c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        };
        self.0.replace(ends_or_reverses, "\u{FFFD}").render_to(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_cannot_end_or_reverse_a_line() {
        let hostile = "<script>alert('1')</script>&\"\n\u{202E}gpj";
        assert_eq!(
            Name(hostile).render().into_string(),
            "&lt;script&gt;alert('1')&lt;/script&gt;&amp;&quot;\u{FFFD}\u{FFFD}gpj"
        );
    }
}
