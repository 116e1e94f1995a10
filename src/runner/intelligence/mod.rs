//! The runner whose threads the Intelligence platform keeps: events leave through its `/runner` socket
//! (intelligence.md chapter 4).
