// Package budgets is the mode budgets: every budget of the design, each measured in a
// short form of another mode, in one table. Ratios and counts that must be zero are
// judged; what depends on the machine is shown.
package budgets
