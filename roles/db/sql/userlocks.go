package sql

import (
	"context"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/userlock"
)

// The planner's GET_LOCK() and those beside it ask for their locks again and again, whatever becomes of the statement, and
// forget no name.
func init() {
	addSessionFunction("get_lock", 2, 0, types.Int64, getLock)
	addSessionFunction("release_lock", 1, 0, types.Int64, releaseLock)
	addSessionFunction("release_all_locks", 0, 0, types.Uint64, func(_ *gms.Context, s *Session, _ *sessionFunction, _ gms.Row) (any, error) {
		return uint64(s.userLocks.ReleaseAll()), nil
	})
	addSessionFunction("is_free_lock", 1, 0, types.Int64, isFreeLock)
	addSessionFunction("is_used_lock", 1, 0, types.Uint64, isUsedLock)
}

// lockNameLength is how long the name of a user-level lock may be, characters.
const lockNameLength = 64

// lockName is the first argument, in the form in which equal names are the same.
func (f *sessionFunction) lockName(ctx *gms.Context, row gms.Row) (string, error) {
	v, err := f.args[0].Eval(ctx, row)
	if err != nil {
		return "", err
	}
	if v, err = gms.UnwrapAny(ctx, v); err != nil {
		return "", err
	}
	if v == nil {
		return "", wrongLockName("NULL")
	}
	// Not as a text: what is none would be another error.
	bytes, _, err := types.TypeAwareConversion(ctx, v, f.args[0].Type(ctx), types.LongBlob)
	if err != nil {
		return "", err
	}
	text, _ := bytes.([]byte)
	name := string(text)
	if name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > lockNameLength {
		return "", wrongLockName(name)
	}
	return strings.ToLower(name), nil
}

func wrongLockName(name string) error {
	return mysqlError(3057, "Incorrect user-level lock name '%s'.", clipText(strings.ToValidUTF8(name, "?"), 2*lockNameLength))
}

// getLock is GET_LOCK(name, seconds): 1, or 0 if another session has kept the lock for so long.
func getLock(ctx *gms.Context, s *Session, f *sessionFunction, row gms.Row) (any, error) {
	name, err := f.lockName(ctx, row)
	if err != nil {
		return nil, err
	}
	var seconds int64 // NULL is none
	v, err := f.args[1].Eval(ctx, row)
	if err == nil && v != nil {
		seconds, err = integerOf(ctx, v)
	}
	if err != nil {
		return nil, err
	}
	var taken bool
	if seconds == 0 {
		taken, err = s.userLocks.Try(name)
	} else {
		taken, err = s.waitForUserLock(ctx, name, seconds)
	}
	return oneIf(taken), err
}

// waitsForUserLock is the state of who waits in GET_LOCK().
var waitsForUserLock = "User lock"

// waitForUserLock takes a lock within so many seconds, within any time if they are negative; taken says
// whether it has.
func (s *Session) waitForUserLock(ctx context.Context, name string, seconds int64) (taken bool, err error) {
	r, err := s.userLocks.Ask(name)
	if r == nil {
		return err == nil, err
	}
	if s.state.CompareAndSwap(nil, &waitsForUserLock) {
		defer s.state.Store(nil)
	}
	var over, look <-chan time.Time
	if seconds > 0 {
		timer := time.NewTimer(time.Duration(min(seconds, math.MaxInt32)) * time.Second)
		defer timer.Stop()
		over = timer.C
	}
	if s.tx != nil && (s.explicit() || s.kind.locks()) {
		ticker := time.NewTicker(circleWait)
		defer ticker.Stop()
		look = ticker.C
	}
	for {
		select {
		case <-r.Granted():
			return true, nil
		case <-over:
			return r.Leave(), nil
		case <-ctx.Done():
			if r.Leave() {
				return true, nil
			}
			return false, ctx.Err()
		case <-look:
			if s.waitedForBehind(r) && !r.Leave() {
				return false, userlock.ErrDeadlock
			}
		}
	}
}

// waitedForBehind says whether the one for whom the request waits in the end waits for a lock of the
// session's transaction, directly or behind other transactions.
func (s *Session) waitedForBehind(r *userlock.Request) bool {
	id, waits := r.Behind()
	if !waits {
		return false
	}
	other := s.engine.session(id)
	if other == nil {
		return false
	}
	tx := other.shown.Load()
	return tx != nil && tx.WaitsFor(s.tx)
}

// releaseLock is RELEASE_LOCK(name): 1, 0 if the lock is another session's, NULL if it is free.
func releaseLock(ctx *gms.Context, s *Session, f *sessionFunction, row gms.Row) (any, error) {
	name, err := f.lockName(ctx, row)
	if err != nil {
		return nil, err
	}
	released, exists := s.userLocks.Release(name)
	if !exists {
		return nil, nil
	}
	return oneIf(released), nil
}

// isFreeLock is IS_FREE_LOCK(name): 1 or 0.
func isFreeLock(ctx *gms.Context, s *Session, f *sessionFunction, row gms.Row) (any, error) {
	name, err := f.lockName(ctx, row)
	if err != nil {
		return nil, err
	}
	_, held := s.engine.userLocks.HolderOf(name)
	return oneIf(!held), nil
}

// isUsedLock is IS_USED_LOCK(name): the connection that holds the lock, or NULL.
func isUsedLock(ctx *gms.Context, s *Session, f *sessionFunction, row gms.Row) (any, error) {
	name, err := f.lockName(ctx, row)
	if err != nil {
		return nil, err
	}
	if id, held := s.engine.userLocks.HolderOf(name); held {
		return uint64(id), nil
	}
	return nil, nil
}

// oneIf is a truth value as SQL has it.
func oneIf(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}
