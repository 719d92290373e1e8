//! The sites of a server, and which of them a request is for.

use super::challenges::Challenges;
use super::{RootState, Settings, Site};
use crate::config::Options;
use crate::failure::Failure;

/// The sites of a server. There is one, for all authorities, and so is the folder of challenges.
#[derive(Debug)]
pub struct Sites {
    only: Site,
    /// The challenges, for all authorities.
    pub challenges: Challenges,
}

impl Sites {
    /// Opens the sites for processes with a limit of `descriptors` file descriptors each.
    pub fn open(options: &Options, descriptors: usize) -> Result<Self, Failure> {
        let settings = Settings::load(options, descriptors)?;
        Ok(Sites { only: Site::open(&options.root, settings), challenges: Challenges::new(&options.acme_challenges) })
    }

    /// Returns the site for the authority of a request (RFC 9110 §7.2). None is that of a request without one, and of bytes
    /// that are not a request.
    pub fn select(&self, _authority: Option<&str>) -> &Site {
        &self.only
    }

    /// Returns the state of the document roots at the last check: the one that needs attention most.
    pub fn root_state(&self) -> RootState {
        self.only.root_state()
    }

    /// Stops logging changes of the document roots: of the processes that check the same path, one logs them.
    pub fn disable_root_log(&self) {
        self.only.disable_root_log();
    }

    /// Returns whether [`close_stale`](Sites::close_stale) is due. It can take as long as a disk does, so no client should
    /// wait for it.
    pub fn may_have_stale_files(&self) -> bool {
        self.only.may_have_stale_files()
    }

    /// Closes the files that were kept open for later requests and whose time is over.
    pub fn close_stale(&self) {
        self.only.close_stale();
    }
}
