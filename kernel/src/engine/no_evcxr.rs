//! In the place of the portable back end where it is not built in.

use super::{CellSource, EngineConfig, EngineError, Event, Execution};
use std::collections::BTreeMap;

/// See [`crate::runtime_hook`].
pub(crate) fn runtime_hook() {}

/// There is none.
#[derive(Debug)]
pub(super) enum EvcxrEngine {}

impl EvcxrEngine {
    /// Says why it cannot be started.
    pub(super) fn start(
        _: EngineConfig,
        _: &mut dyn FnMut(String),
    ) -> Result<Self, EngineError> {
        let why = "evcxr is not built in: it takes the feature `evcxr` of d2l-kernel";
        Err(EngineError::Start(why.into()))
    }

    /// See [`super::Engine::variables`].
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        match *self {}
    }

    /// See [`super::Engine::execute`].
    pub(super) fn execute(
        &mut self,
        _: &CellSource,
        _: &mut dyn FnMut(Event),
    ) -> Execution {
        match *self {}
    }
}
