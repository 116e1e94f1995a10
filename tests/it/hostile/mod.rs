//! Whatever comes, from whichever side, has a defined answer: nothing ends the process, nothing grows
//! without bound, nobody else notices.

mod agents;
mod clients;
mod input;
