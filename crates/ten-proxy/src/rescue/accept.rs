//! Whether a client would rather read HTML or a problem document.

/// Whether `Accept` lists `text/html`, and no JSON above it (RFC 9110, section 12.5.1). A range
/// such as `*/*` names nothing: programs send it, and so do browsers for what is not a page.
pub(crate) fn prefers_html(accept: Option<&[u8]>) -> bool {
    let Some(accept) = accept.and_then(|value| str::from_utf8(value).ok()) else { return false };
    let (mut html, mut json) = (0.0_f32, 0.0_f32);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let best = match name.to_ascii_lowercase().as_str() {
            "text/html" => &mut html,
            "application/json" | "application/problem+json" => &mut json,
            _ => continue,
        };
        *best = best.max(quality(parts));
    }
    html > 0.0 && html >= json
}

/// The weight of a range: 1 unless it says otherwise, 0 where what it says is no weight.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> f32 {
    let weight = parameters.find_map(|it| it.strip_prefix("q=").or(it.strip_prefix("Q=")));
    let parse = |text: &str| text.parse().ok().filter(|q| (0.0..=1.0).contains(q));
    weight.map_or(1.0, |text| parse(text).unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_for_whoever_lists_it_and_likes_it_no_less_than_json() {
        for (accept, want) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("TEXT/HTML", true),
            ("application/json, text/html", true),
            ("application/json;q=0.5, text/html;q=0.5", true),
            ("text/html; charset=utf-8 ; q=0.1", true),
            ("*/*", false),
            ("text/*", false),
            ("text/html;q=0", false),
            ("text/html;q=0.000, */*", false),
            ("text/html;q=0.4, application/json;q=0.5", false),
            ("text/html;q=0.9, application/problem+json", false),
            ("text/html;q=NaN", false),
            ("text/html;q=7", false),
            ("application/json", false),
            ("text/htmlx", false),
            ("", false),
        ] {
            assert_eq!(prefers_html(Some(accept.as_bytes())), want, "{accept}");
        }
        assert!(!prefers_html(None));
        assert!(!prefers_html(Some(b"text/html\xff")));
    }
}
