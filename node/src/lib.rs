//! A quoit storage node: for now, its engine.

pub mod engine;
