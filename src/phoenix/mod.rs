//! Phoenix channels, protocol version 2, over WebSocket (intelligence.md 4.1). Frames and the client are pure; the
//! socket moves them. Knows nothing of what travels in its messages.
