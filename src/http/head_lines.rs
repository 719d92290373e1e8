//! The field lines of a response's head, in whatever wire format: those of the response, as rules change them, and as access
//! restricts them.

use super::{Field, FieldChanges, Scheme, Status, private};

/// Where the field lines of a head go.
pub trait FieldLines {
    /// Adds a field.
    fn add(&mut self, field: &Field);

    /// Adds a line with this name and value.
    fn add_text(&mut self, name: &str, value: &str);
}

/// Adds `fields`. With `is_private`, only caches of single clients may store the response.
pub fn add<'f>(lines: &mut impl FieldLines, fields: impl IntoIterator<Item = &'f Field<'f>>, is_private: bool) {
    if !is_private {
        return fields.into_iter().for_each(|field| lines.add(field));
    }
    let mut cache_control = None;
    for field in fields {
        match field {
            Field::CacheControl(text) => cache_control = Some(*text),
            _ => lines.add(field),
        }
    }
    lines.add_text("Cache-Control", &private::cache_control(cache_control.unwrap_or_default()));
}

/// Adds `fields` of a response with this status, with the changes of rules for this scheme.
pub fn add_changed(
    lines: &mut impl FieldLines,
    status: Status,
    fields: &[Field],
    changes: &FieldChanges,
    scheme: Scheme,
    is_private: bool,
) {
    // The media type of a response with several ranges belongs to its parts.
    let is_multipart = |field: &Field| {
        status == Status::PartialContent
            && matches!(field, Field::ContentType(text) if text.starts_with("multipart/byteranges"))
    };
    let has_parts = fields.iter().any(is_multipart);
    // A page that the server makes has the policy with the hashes of its script and style: with another, they would not run.
    let is_policy = |field: &Field| matches!(field, Field::ContentSecurityPolicy(_));
    let has_policy = fields.iter().any(is_policy);
    let (mut vary, mut cache_control) = (Vec::new(), Vec::new());
    for line in fields {
        match line {
            Field::Vary(text) => vary.push(*text),
            _ if changes.replaces(line.name(), status) && !is_multipart(line) && !is_policy(line) => {}
            Field::CacheControl(text) if is_private => cache_control.push(*text),
            _ => lines.add(line),
        }
    }
    for line in changes.lines(status, scheme) {
        let is = |name: &str| line.name.eq_ignore_ascii_case(name);
        let is_of_server = has_parts && is("Content-Type") || has_policy && is("Content-Security-Policy");
        if is_private && is("Cache-Control") {
            cache_control.push(&line.value);
        } else if !(is_of_server || is_private && private::is_for_shared_caches(&line.name)) {
            lines.add_text(&line.name, &line.value);
        }
    }
    vary.extend(changes.vary.iter().map(String::as_str));
    if !vary.is_empty() {
        lines.add_text("Vary", &vary.join(", "));
    }
    if is_private {
        lines.add_text("Cache-Control", &private::cache_control(&cache_control.join(", ")));
    }
}
