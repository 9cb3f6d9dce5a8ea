//! Passwords: what is accepted as one, and how one is kept and compared. Plain functions without actors, some of which take long
//! on purpose: they are for the threads of the password hasher alone.
