package group

import (
	"fmt"

	"stack/roles/db/incarnation"
)

// A server whose disk was taken back to an earlier state has lost transactions that its replicas have, and numbers others
// like them: its set may hold all of theirs and not be what they have.

// lostBy says what the server of this name has lost, and who has it; empty: nothing that is known.
func (p *Promotion) lostBy(name string) (string, error) {
	s, ok := p.states[name]
	if !ok || s.Server == "" {
		return "", nil
	}
	for other, of := range p.states {
		lost, err := incarnation.Lost(of.Known(), s.Known())
		if err != nil {
			return "", fmt.Errorf("compare %s with %s: %w", name, other, err)
		}
		if len(lost) > 0 {
			return fmt.Sprintf("%s has lost %s, which %s has: its disk was taken back to an earlier state. It is not taken, and what it has made since is taken back when it joins again", name, lost, other), nil
		}
	}
	return "", nil
}

// differs says which transactions of two servers have the same numbers and are not the same; empty: none that are known.
func (p *Promotion) differs(a, b, setA, setB string) (string, error) {
	x, y := p.states[a].Known(), p.states[b].Known()
	x.Executed, y.Executed = setA, setB
	other, err := incarnation.Other(x, y)
	if err != nil || len(other) == 0 {
		return "", err
	}
	return fmt.Sprintf("%s and %s have different transactions %s: the disk of the server that made them was taken back to an earlier state", a, b, other), nil
}
