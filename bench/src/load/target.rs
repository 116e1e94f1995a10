//! Where load may go.

use crate::failure::{Failure, Result};
use std::net::{Ipv4Addr, SocketAddr};

/// A server that may be loaded: one on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(SocketAddr);

impl Target {
    /// Accepts loopback addresses only.
    ///
    /// # Errors
    /// When the address is not a loopback address.
    pub fn new(address: SocketAddr) -> Result<Target> {
        if address.ip().is_loopback() {
            Ok(Target(address))
        } else {
            Err(Failure::said(format!("{address} is not a loopback address")))
        }
    }

    /// A port of this machine.
    pub fn local(port: u16) -> Target {
        Target(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// The address, known to be loopback.
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_a_target() {
        assert!(Target::new(SocketAddr::from(([127, 0, 0, 1], 80))).is_ok());
        assert!(Target::new(SocketAddr::from(([192, 0, 2, 1], 80))).is_err());
    }
}
