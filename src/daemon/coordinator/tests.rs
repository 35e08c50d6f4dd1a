//! The coordinator in virtual time: what goes in stands in each test, what comes out is compared as text.

mod delegation;
mod life;
mod lookouts;
mod outcome;
mod parting;
mod pause;
mod release;
mod reload;
mod reporting;
mod restart;
mod resumed;
mod services;
mod shown;
mod world;
