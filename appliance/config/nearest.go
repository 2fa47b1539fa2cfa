package config

import "strings"

// nearest returns the candidate that a person most likely meant, or "" when none
// is near. Case and the difference between - and _ cost nothing.
func nearest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	w := fold(word)
	best, bestCost := "", 1+max(1, len(w)/3)
	for _, c := range candidates {
		if c == "" || len(c) > 128 {
			continue
		}
		if d := distance(w, fold(c)); d < bestCost {
			best, bestCost = c, d
		}
	}
	return best
}

// hint is the tail of a message: "; nearest is X", or nothing.
func hint(word string, candidates []string) string {
	if n := nearest(word, candidates); n != "" {
		return "; nearest is " + quote(n)
	}
	return ""
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
