// Package group is what the database servers of a site agree on: who is the primary, in
// which epoch. A server tells the others its state, accepts a new epoch, which fences
// the one before, and opens for writes. They speak over the MySQL protocol with TLS, as an
// account that only they have.
//
// It decides nothing by itself: a person asks for a promotion, and Promote proves that nothing
// acknowledged is lost by it, or refuses.
package group
