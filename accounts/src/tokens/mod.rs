//! Access tokens: how they are signed, and what makes one valid.
