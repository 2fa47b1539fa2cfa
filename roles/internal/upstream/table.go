package upstream

// table is the part of a pool that takes new work at present: immutable, so that a
// loop reads it with one load.
type table struct {
	algorithm Algorithm
	attempts  int
	servers   []*Server // those that may be picked, in file order
	weights   []int     // of servers, > 0
	sequence  []uint16  // one round of smooth weighted round robin: indexes into servers
}

// maxSequenceWork bounds the steps of building one sequence (length times servers),
// which keeps a rebuild in the low tens of milliseconds. 256 servers of any weights
// stay below it; beyond, weights are halved together until it fits.
const maxSequenceWork = 1 << 24

// buildTable selects who may be picked. Servers in rotation are those that are up,
// ready and of weight > 0. If no such primary exists the backups take over: the first
// usable one, or all of them where allBackups is set. Those of the last resort come last of all.
func buildTable(all []*Server, alg Algorithm, allBackups bool, attempts int) *table {
	t := &table{algorithm: alg, attempts: attempts}
	add := func(s *Server) {
		t.servers = append(t.servers, s)
		t.weights = append(t.weights, s.Weight())
	}
	for _, s := range all {
		if !s.backup.Load() && !s.resort.Load() && s.takesNew() {
			add(s)
		}
	}
	if len(t.servers) == 0 {
		for _, s := range all {
			if s.backup.Load() && !s.resort.Load() && s.takesNew() {
				add(s)
				if !allBackups {
					break
				}
			}
		}
	}
	if len(t.servers) == 0 {
		for _, s := range all {
			if s.resort.Load() && s.takesNew() {
				add(s)
			}
		}
	}
	t.sequence = smoothSequence(t.weights)
	return t
}

// smoothSequence lays out one round of smooth weighted round robin: each step every
// server gains its weight, the richest is chosen and pays the total. In one round each
// server appears exactly weight/gcd times, spread as evenly as can be.
func smoothSequence(weights []int) []uint16 {
	if len(weights) == 0 {
		return nil
	}
	w := reduce(weights)
	total := 0
	for _, v := range w {
		total += v
	}
	seq := make([]uint16, total)
	current := make([]int, len(w))
	for i := range seq {
		best := 0
		for j, v := range w {
			current[j] += v
			if current[j] > current[best] {
				best = j
			}
		}
		current[best] -= total
		seq[i] = uint16(best)
	}
	return seq
}

// reduce divides weights by their greatest common divisor and, in pools so large that
// the sequence would be too long, by two until it fits.
func reduce(weights []int) []int {
	w := append([]int(nil), weights...)
	for {
		d, total := 0, 0
		for _, v := range w {
			d = gcd(d, v)
		}
		for i := range w {
			w[i] /= d
			total += w[i]
		}
		if total*len(w) <= maxSequenceWork || total == len(w) {
			return w
		}
		for i := range w {
			w[i] = max(1, w[i]/2)
		}
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// pickNext takes the server at place n of the sequence or, where that one failed
// or is full, the next in order that has a slot.
func (t *table) pickNext(n uint64, failed *Server) *Server {
	first := int(t.sequence[n%uint64(len(t.sequence))])
	for i := range t.servers {
		k := first + i
		if k >= len(t.servers) {
			k -= len(t.servers)
		}
		s := t.servers[k]
		if failed != nil && (s == failed || s.suspect.Load()) {
			continue
		}
		if s.acquire() {
			return s
		}
	}
	return nil
}

// pickLeast takes the server with the least (in-flight + 1) / weight. The search
// starts at a moving place so that equals take turns. Two loops may see the same
// least server at once: the error is at most the number of loops.
func (t *table) pickLeast(n uint64, failed *Server) *Server {
	start := int(n % uint64(len(t.servers)))
	// A server may fill up between the look and acquire; then look again. Each time
	// round some other loop has won a slot, so this ends.
	for {
		var best *Server
		var bestLoad, bestWeight int64
		for i := range t.servers {
			k := start + i
			if k >= len(t.servers) {
				k -= len(t.servers)
			}
			s, w, load := t.servers[k], int64(t.weights[k]), t.servers[k].inflight.Load()+1
			if m := s.maxconn.Load(); m > 0 && load > m {
				continue
			}
			if failed != nil && (s == failed || s.suspect.Load()) {
				continue
			}
			if best == nil || load*bestWeight < bestLoad*w {
				best, bestLoad, bestWeight = s, load, w
			}
		}
		if best == nil || best.acquire() {
			return best
		}
	}
}
