package direct

import (
	"math/big"

	"github.com/cockroachdb/apd/v3"
)

// intSum adds integers exactly: in an int64 while that holds the sum.
type intSum struct {
	small int64
	large *big.Int // nil while small is the sum
}

// add adds n, or u where an int64 does not hold the value.
func (s *intSum) add(n int64, u uint64, isLarge bool) {
	if s.large == nil && !isLarge {
		sum := s.small + n
		if (sum > s.small) == (n > 0) {
			s.small = sum
			return
		}
	}
	if s.large == nil {
		s.large = big.NewInt(s.small)
	}
	if isLarge {
		s.large.Add(s.large, new(big.Int).SetUint64(u))
	} else {
		s.large.Add(s.large, big.NewInt(n))
	}
}

// decimal is the sum as SUM gives it.
func (s *intSum) decimal() *apd.Decimal {
	if s.large == nil {
		return apd.New(s.small, 0)
	}
	return apd.NewWithBigInt(new(apd.BigInt).SetMathBigInt(s.large), 0)
}
