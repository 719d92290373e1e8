//! What to do so that a command that fails leaves everything as it was.

/// Steps that are done unless the command succeeds, in the order in which they were added: files first, then the restart of the
/// service, which reads them.
#[derive(Default)]
pub struct Undo {
    steps: Vec<Box<dyn FnOnce()>>,
}

impl Undo {
    /// Adds a step that takes back a change.
    pub fn push(&mut self, step: impl FnOnce() + 'static) {
        self.steps.push(Box::new(step));
    }

    /// Returns whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Keeps the changes.
    pub fn keep(mut self) {
        self.steps.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        self.steps.drain(..).for_each(|step| step());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::Undo;

    #[test]
    fn steps_are_done_unless_the_changes_are_kept() {
        for (keep, expected) in [(true, ""), (false, "12")] {
            let done = Rc::new(RefCell::new(String::new()));
            let mut undo = Undo::default();
            for name in ["1", "2"] {
                let done = done.clone();
                undo.push(move || done.borrow_mut().push_str(name));
            }
            if keep {
                undo.keep();
            } else {
                drop(undo);
            }
            assert_eq!(*done.borrow(), expected);
        }
    }
}
