//! What callers see of an engine's errors.

use quoit_ring::wire::Fault;

use crate::engine::EngineError;

/// The fault that callers see for an engine's error.
pub(crate) fn fault_of(error: &EngineError) -> Fault {
    match error {
        EngineError::NoSpace { .. } => Fault::Filled,
        EngineError::Poisoned { cause: Some(first) } => fault_of(first),
        EngineError::Corrupt { .. }
        | EngineError::JournalDamaged { .. }
        | EngineError::ManifestDamaged { .. }
        | EngineError::TableDamaged { .. }
        | EngineError::NewerFormat { .. }
        | EngineError::ForeignFormat { .. } => Fault::Corrupt,
        _ => Fault::Failed,
    }
}
