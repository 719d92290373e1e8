//! The field lines of a request head (RFC 9110 §5).

use httparse::Header;

use super::syntax;

/// The field lines, in order. Names are compared without case. Callers write a name as most clients of HTTP/1.1 send it, since
/// the comparison of equal names costs least.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'f, 'b>(pub &'f [Header<'b>]);

impl<'f, 'b> Fields<'f, 'b> {
    /// Returns the values of every line with this name, in order.
    pub fn all(self, name: &'static str) -> impl Iterator<Item = &'b [u8]> + 'f {
        self.0.iter().filter(move |line| syntax::is_name(line.name, name)).map(|line| line.value)
    }

    /// Returns the value of the only line with this name; none if there is none or more than one.
    pub fn only(self, name: &'static str) -> Option<&'b [u8]> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    /// Whether there is a line with this name.
    pub fn has(self, name: &'static str) -> bool {
        self.all(name).next().is_some()
    }
}
