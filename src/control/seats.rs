//! How many connections to the control socket each user may have at once. Pure.
//!
//! A member of the group dyn-prefix may ask for the status as often as he likes, but must not keep root from a reload,
//! nor other members from asking.

use std::collections::HashMap;

/// How many connections all users have together, but for root and the daemon's own.
pub const OF_OTHERS: usize = 16;

/// How many of these one user has.
pub const OF_EACH: usize = 4;

/// How many connections root and the daemon's own user have, whatever the others do.
pub const OF_ROOT: usize = 16;

/// Who is connected.
#[derive(Debug)]
pub struct Seats {
    /// The user the daemon runs as.
    own: u32,
    taken: HashMap<u32, usize>,
}

impl Seats {
    /// Nobody, of a daemon that runs as this user.
    pub fn new(own: u32) -> Self {
        Self { own, taken: HashMap::new() }
    }

    /// Takes a seat for a user.
    ///
    /// # Errors
    /// When he, or all like him, have as many as there are; a sentence that says what to do.
    pub fn take(&mut self, user: u32) -> Result<(), String> {
        if self.is_kept(user) {
            if self.sum(true) >= OF_ROOT {
                return Err(format!(
                    "root and the daemon's own user have {OF_ROOT} connections to the control socket already; end some \
                     (`ss -xp` names the programs), and try again"
                ));
            }
        } else if self.of(user) >= OF_EACH {
            return Err(format!(
                "the user {user} has {OF_EACH} connections to the control socket already, which is as many as one user \
                 may have; end one of them, as a `dyn-prefix status --watch`, and try again"
            ));
        } else if self.sum(false) >= OF_OTHERS {
            return Err(format!(
                "other users have all {OF_OTHERS} connections to the control socket that are not kept for root; try \
                 again later, or as root"
            ));
        }
        *self.taken.entry(user).or_default() += 1;
        Ok(())
    }

    /// Gives back a seat of a user.
    pub fn leave(&mut self, user: u32) {
        let left = self.of(user).saturating_sub(1);
        if left == 0 {
            self.taken.remove(&user);
        } else {
            self.taken.insert(user, left);
        }
    }

    fn of(&self, user: u32) -> usize {
        self.taken.get(&user).copied().unwrap_or_default()
    }

    fn is_kept(&self, user: u32) -> bool {
        user == 0 || user == self.own
    }

    fn sum(&self, kept: bool) -> usize {
        self.taken.iter().filter(|(user, _)| self.is_kept(**user) == kept).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 998;

    /// How many a user gets who wants a hundred.
    fn grab(seats: &mut Seats, user: u32) -> usize {
        (0..100).filter(|_| seats.take(user).is_ok()).count()
    }

    #[test]
    fn one_user_is_in_nobodys_way() {
        let mut seats = Seats::new(OWN);
        assert_eq!(grab(&mut seats, 1000), 4);
        assert!(seats.take(1000).unwrap_err().contains("the user 1000 has 4 connections"));
        assert_eq!(grab(&mut seats, 1001), 4);
        seats.leave(1000);
        assert_eq!(grab(&mut seats, 1000), 1);
    }

    #[test]
    fn many_users_are_not_in_the_way_of_root_and_of_the_daemon_itself() {
        let mut seats = Seats::new(OWN);
        assert_eq!((1000..1100).map(|user| grab(&mut seats, user)).sum::<usize>(), 16);
        assert!(seats.take(1050).unwrap_err().contains("not kept for root"));
        assert_eq!((seats.take(0), seats.take(OWN)), (Ok(()), Ok(())));
        assert_eq!(grab(&mut seats, 0), 14);
        assert!(seats.take(OWN).unwrap_err().contains("have 16 connections"));
    }

    #[test]
    fn nobody_is_remembered_who_has_left() {
        let mut seats = Seats::new(OWN);
        for user in [0, 1000, 1000] {
            seats.take(user).unwrap();
        }
        for user in [1000, 0, 1000, 7] {
            seats.leave(user);
        }
        assert!(seats.taken.is_empty(), "{seats:?}");
    }
}
