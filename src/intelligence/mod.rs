//! The client of CopilotKit's Intelligence platform: where it is, who we are to it, and its REST calls
//! (intelligence.md chapters 1 and 3).
