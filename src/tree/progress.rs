//! The progress bar.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// It shows a percentage rather than bytes, since files may be read several times.
const BAR: &str = "{bar:40} {percent:>3}%, {eta} left";

/// Creates the progress bar over all bytes to be read. It is shown on a terminal only.
pub fn bar(bytes: u64) -> ProgressBar {
    // A test checks that the template is valid; the default style is sufficient as well.
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_valid() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
