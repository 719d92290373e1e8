//! What to do so that a command that fails leaves everything as it was.

use crate::failure::Failure;

type Step = Box<dyn FnOnce() -> Result<(), Failure>>;

/// Steps that are done unless the command succeeds: first those of files, the last change first; then those of units, since the
/// service reads the files.
#[derive(Default)]
pub struct Undo {
    files: Vec<Step>,
    units: Vec<Step>,
}

impl Undo {
    /// Adds a step that takes back a change of a file.
    pub fn file(&mut self, step: impl FnOnce() -> Result<(), Failure> + 'static) {
        self.files.push(Box::new(step));
    }

    /// Adds a step that takes back changes of units.
    pub fn units(&mut self, step: impl FnOnce() -> Result<(), Failure> + 'static) {
        self.units.push(Box::new(step));
    }

    /// Returns whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.units.is_empty()
    }

    /// Keeps the changes.
    pub fn keep(mut self) {
        self.files.clear();
        self.units.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for step in self.files.drain(..).rev().chain(self.units.drain(..)) {
            if let Err(failure) = step() {
                tracing::warn!("A change of this command could not be taken back: {failure}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn steps_are_done_unless_the_changes_are_kept() {
        for (keep, expected) in [(true, ""), (false, "21ab")] {
            let done = Rc::new(RefCell::new(String::new()));
            let mut undo = Undo::default();
            assert!(undo.is_empty());
            let step = |name: &'static str| {
                let done = done.clone();
                move || {
                    done.borrow_mut().push_str(name);
                    Err(Failure::new("It does not prevent the next one."))
                }
            };
            undo.units(step("a"));
            undo.file(step("1"));
            undo.units(step("b"));
            undo.file(step("2"));
            assert!(!undo.is_empty());
            if keep {
                undo.keep();
            } else {
                drop(undo);
            }
            assert_eq!(*done.borrow(), expected);
        }
    }
}
