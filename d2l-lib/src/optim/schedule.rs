//! Learning rates that change while a model learns.

use std::f64::consts::PI;

/// The learning rate as a function of the step (or epoch, whatever is counted).
///
/// ```
/// use d2l::optim::Schedule;
///
/// let schedule = Schedule::cosine(0.3, 20, 0.01).warmup(5, 0.0);
/// assert_eq!(schedule.lr(0), 0.0);
/// assert_eq!(schedule.lr(5), 0.3);
/// assert!((schedule.lr(25) - 0.01).abs() < 1e-12);
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    base: f64,
    curve: Curve,
    warmup: usize,
    start: f64,
}

#[derive(Clone, Debug)]
enum Curve {
    Constant,
    Factor { every: usize, factor: f64, floor: f64 },
    Milestones { steps: Vec<usize>, factor: f64 },
    Exponential { factor: f64 },
    Cosine { steps: usize, end: f64 },
    Polynomial { steps: usize, power: f64, end: f64 },
    InverseRoot,
}

impl Schedule {
    fn new(base: f64, curve: Curve) -> Schedule {
        Schedule { base, curve, warmup: 0, start: 0.0 }
    }

    /// Always `lr`.
    ///
    /// ```
    /// use d2l::optim::Schedule;
    ///
    /// let schedule = Schedule::constant(0.1);
    /// assert_eq!((schedule.lr(0), schedule.lr(99)), (0.1, 0.1));
    /// ```
    pub fn constant(lr: f64) -> Schedule {
        Schedule::new(lr, Curve::Constant)
    }

    /// Multiplied by `factor` after every `every` steps.
    ///
    /// # Panics
    /// If `every` is 0.
    ///
    /// ```
    /// use d2l::optim::Schedule;
    ///
    /// let schedule = Schedule::step(0.8, 10, 0.5);
    /// assert_eq!((schedule.lr(9), schedule.lr(10), schedule.lr(20)), (0.8, 0.4, 0.2));
    /// ```
    #[track_caller]
    pub fn step(lr: f64, every: usize, factor: f64) -> Schedule {
        assert!(every > 0, "step: the learning rate cannot change after every 0 steps");
        Schedule::new(lr, Curve::Factor { every, factor, floor: 0.0 })
    }

    /// Of [`step`](Schedule::step), never below `lr`.
    ///
    /// ```
    /// use d2l::optim::Schedule;
    ///
    /// let schedule = Schedule::step(0.8, 10, 0.5).at_least(0.3);
    /// assert_eq!((schedule.lr(10), schedule.lr(20)), (0.4, 0.3));
    /// ```
    pub fn at_least(mut self, lr: f64) -> Schedule {
        if let Curve::Factor { floor, .. } = &mut self.curve {
            *floor = lr;
        }
        self
    }

    /// Multiplied by `factor` when each of the `milestones` is reached.
    ///
    /// ```
    /// use d2l::optim::Schedule;
    ///
    /// let schedule = Schedule::milestones(0.8, &[2, 7], 0.5);
    /// assert_eq!((schedule.lr(1), schedule.lr(2), schedule.lr(7)), (0.8, 0.4, 0.2));
    /// ```
    pub fn milestones(lr: f64, milestones: &[usize], factor: f64) -> Schedule {
        Schedule::new(lr, Curve::Milestones { steps: milestones.to_vec(), factor })
    }

    /// Multiplied by `factor` after every step.
    ///
    /// ```
    /// use d2l::optim::Schedule;
    ///
    /// let schedule = Schedule::exponential(0.8, 0.5);
    /// assert_eq!((schedule.lr(0), schedule.lr(2)), (0.8, 0.2));
    /// ```
    pub fn exponential(lr: f64, factor: f64) -> Schedule {
        Schedule::new(lr, Curve::Exponential { factor })
    }

    /// Down to `end` over `steps`, along half a wave of the cosine.
    ///
    /// ```
    /// use d2l::optim::Schedule;
    ///
    /// let schedule = Schedule::cosine(0.8, 10, 0.2);
    /// assert!((schedule.lr(5) - 0.5).abs() < 1e-12 && (schedule.lr(10) - 0.2).abs() < 1e-12);
    /// ```
    pub fn cosine(lr: f64, steps: usize, end: f64) -> Schedule {
        Schedule::new(lr, Curve::Cosine { steps, end })
    }

    /// Down to `end` over `steps`, as `(1 - t)^power`.
    ///
    /// ```
    /// use d2l::optim::Schedule;
    ///
    /// let schedule = Schedule::polynomial(0.8, 10, 2.0, 0.0);
    /// assert!((schedule.lr(5) - 0.2).abs() < 1e-12 && schedule.lr(10) == 0.0);
    /// ```
    pub fn polynomial(lr: f64, steps: usize, power: f64, end: f64) -> Schedule {
        Schedule::new(lr, Curve::Polynomial { steps, power, end })
    }

    /// `lr / √(1 + step)`.
    ///
    /// ```
    /// use d2l::optim::Schedule;
    ///
    /// let schedule = Schedule::inverse_root(0.8);
    /// assert_eq!((schedule.lr(0), schedule.lr(3)), (0.8, 0.4));
    /// ```
    pub fn inverse_root(lr: f64) -> Schedule {
        Schedule::new(lr, Curve::InverseRoot)
    }

    /// Before everything else, `steps` on a straight line from `start` up to the first
    /// learning rate.
    ///
    /// ```
    /// use d2l::optim::Schedule;
    ///
    /// let schedule = Schedule::constant(0.8).warmup(4, 0.0);
    /// assert_eq!((schedule.lr(0), schedule.lr(2), schedule.lr(4)), (0.0, 0.4, 0.8));
    /// ```
    pub fn warmup(mut self, steps: usize, start: f64) -> Schedule {
        (self.warmup, self.start) = (steps, start);
        self
    }

    /// The learning rate of a step; the first is 0.
    ///
    /// ```
    /// use d2l::optim::Schedule;
    ///
    /// let schedule = Schedule::exponential(0.8, 0.5);
    /// let rates: Vec<f64> = (0..3).map(|step| schedule.lr(step)).collect();
    /// assert_eq!(rates, [0.8, 0.4, 0.2]);
    /// ```
    pub fn lr(&self, step: usize) -> f64 {
        if step < self.warmup {
            let share = step as f64 / self.warmup as f64;
            return self.start + (self.base - self.start) * share;
        }
        let t = step - self.warmup;
        let done = |steps: usize| (t as f64 / steps.max(1) as f64).min(1.0);
        match &self.curve {
            Curve::Constant => self.base,
            Curve::Factor { every, factor, floor } => {
                (self.base * factor.powi((t / every) as i32)).max(*floor)
            }
            Curve::Milestones { steps, factor } => {
                let passed = steps.iter().filter(|&&milestone| t >= milestone).count();
                self.base * factor.powi(passed as i32)
            }
            Curve::Exponential { factor } => self.base * factor.powf(t as f64),
            Curve::Cosine { steps, end } => {
                end + (self.base - end) * (1.0 + (PI * done(*steps)).cos()) / 2.0
            }
            Curve::Polynomial { steps, power, end } => {
                end + (self.base - end) * (1.0 - done(*steps)).powf(*power)
            }
            Curve::InverseRoot => self.base / (1.0 + t as f64).sqrt(),
        }
    }
}
