package loop

import (
	"math/rand/v2"
	"testing"
	"time"
)

type fired struct {
	l    *Loop
	want int64
	at   chan int64
}

func (f *fired) Expired(*Timer) { f.at <- f.l.mono/1e6 - f.want }

func TestTimersFireInTime(t *testing.T) {
	l := start(t, 1).Loop(0)
	late := make(chan int64, 100)
	timers := make([]Timer, 100)
	on(l, func() {
		for i := range timers {
			d := time.Duration(rand.IntN(1500)+1) * time.Millisecond
			l.Arm(&timers[i], &fired{l, l.mono/1e6 + d.Milliseconds(), late}, d)
		}
	})
	for range timers {
		select {
		case d := <-late:
			if d < 0 {
				t.Errorf("%d ms early", -d)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("a timer never fired")
		}
	}
}

type collect struct{ got []*Timer }

func (c *collect) Expired(t *Timer) { c.got = append(c.got, t) }

// The wheel is driven by hand through all its ranges and compared with plain times.
func TestWheelAgainstPlainTimes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	l := &Loop{}
	l.wheel.loop = l
	c := &collect{}
	timers := make([]Timer, 300)
	want := map[*Timer]int64{}
	now := int64(0)
	ranges := []int64{5, 1100, 5000, 2_000_000, 5_000_000}
	for step := 0; step < 20000; step++ {
		l.mono = now * 1e6
		for range rng.IntN(3) {
			tm := &timers[rng.IntN(len(timers))]
			switch rng.IntN(6) {
			case 0:
				l.Disarm(tm)
				delete(want, tm)
			case 1:
				l.Drop(tm)
				delete(want, tm)
			default:
				d := rng.Int64N(ranges[rng.IntN(len(ranges))])
				l.Arm(tm, c, time.Duration(d)*time.Millisecond)
				want[tm] = now + d + 1
			}
		}
		if next := int64(l.wheel.next(1 << 20)); len(want) > 0 {
			for tm, at := range want {
				if at < now+next && at>>shift == now>>shift {
					t.Fatalf("sleeps for %d ms at %d, but %p is due at %d", next, now, tm, at)
				}
			}
		}
		now += 1 + rng.Int64N(1+rng.Int64N(500))
		c.got = nil
		l.mono = now * 1e6
		l.wheel.advance(now, func() {})
		for _, tm := range c.got {
			at, ok := want[tm]
			if !ok || at > now {
				t.Fatalf("fired at %d, due at %d (%v)", now, at, ok)
			}
			delete(want, tm)
		}
		for tm, at := range want {
			if at < now { // one tick of delay where a coarse slot is opened
				t.Fatalf("%p due at %d has not fired at %d", tm, at, now)
			}
		}
	}
}
