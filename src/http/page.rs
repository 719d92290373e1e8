//! The pages of the server's own that have no content but a status: what happened, what to do, and no information about this
//! machine.

use super::Status;

/// The media type of a page.
pub const MEDIA_TYPE: &str = "text/html";

/// The style sheet of an error. The colors are light or dark, as the reader prefers.
const STYLE: &str = concat!(include_str!("page/colors.css"), include_str!("page/error.css"));

/// The Content-Security-Policy of an error: this style sheet, the site's icon, and nothing else. A text in the page that is
/// not meant as such, whatever brought it there, neither runs nor loads anything.
pub const POLICY: &str = "default-src 'none'; style-src 'sha256-m5YLj+dJvbvPLEh1Swl3GGY8gn7UTHeWYRmNbrn0p/0='; img-src 'self'; base-uri 'none'; form-action 'none'";

/// Returns the page of an error: what happened and what the reader can do.
pub fn error(status: Status) -> String {
    with_sentence(status, sentence(status))
}

/// Returns the page of an error with another sentence, which is HTML.
pub fn with_sentence(status: Status, sentence: &str) -> String {
    let line = status.line();
    [
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>",
        line,
        "</title>\n<style>",
        STYLE,
        "</style>\n<main>\n<h1>",
        line,
        "</h1>\n<p>",
        sentence,
        "</p>\n</main>\n</html>\n",
    ]
    .concat()
}

/// Returns the page of a redirect, which only a client that does not follow it shows.
pub fn redirect(status: Status) -> String {
    let line = status.line();
    format!("<!DOCTYPE html>\n<html lang=\"en\">\n<title>{line}</title>\n<h1>{line}</h1>\n</html>\n")
}

/// Returns what happened and what to do, for the reader of the page. Statuses that only rules of a site produce are among
/// them.
fn sentence(status: Status) -> &'static str {
    match status.code() {
        400 => "The request is not valid HTTP: check the address for unusual characters, then try again.",
        401 => "This page needs a user name and a password: load it again to enter them.",
        403 => "The server may not show what is at this address: ask the operator of this site if you need it.",
        404 => "Nothing is at this address: check it for typing errors, or begin at the <a href=\"/\">start page</a>.",
        405 => "This address only shows a page and accepts no data: open it without sending a form.",
        406 => "The file exists only compressed, and your program does not accept that: use another browser.",
        408 => "The request did not arrive in time: check your connection, then try again.",
        410 => "The page was removed for good: delete links to it, and begin at the <a href=\"/\">start page</a>.",
        412 => "The file is not the version that the request demands: load it again from the beginning.",
        413 => "The request has more content than the server accepts: send less.",
        414 => {
            "The address is longer than the server accepts: shorten it, or begin at the <a href=\"/\">start page</a>."
        }
        416 => "The file does not have the part that was requested: download it again from the beginning.",
        421 => "This server has no site with that name: check the host name in the address, then try again.",
        429 => "Too many requests came from your address: wait a minute, then try again.",
        431 => {
            "The request has more header fields than the server accepts: delete this site's cookies, then try again."
        }
        500 => {
            "The server failed to read the page: try again later, and tell the operator of this site if that does not help."
        }
        501 => "The server does not support this kind of request: open the address in a browser.",
        503 => "The server cannot show the page at the moment: wait a few seconds, then load it again.",
        505 => "The request is in another version of HTTP than the server supports: use HTTP/1.1.",
        ..500 => "The server cannot fulfill this request: check the address, then try again.",
        _ => "The server failed to fulfill this request: try again later.",
    }
}

#[cfg(test)]
pub use tests::source;

#[cfg(test)]
mod tests;
