package supervise

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"
)

// Bounds of what a child may write to its standard error: a goroutine dump fits, a
// loop that prints does not fill the disk.
const (
	maxStderrLine  = 4 << 10
	stderrBurst    = 4000
	stderrPerSec   = 50
	stderrOverflow = "lines of standard error dropped"
)

// pumpStderr logs what a child writes to its standard error (a panic, the dump after
// SIGQUIT, a library's print) line by line until it ends.
func pumpStderr(f *os.File, log *slog.Logger) {
	r := bufio.NewReaderSize(f, maxStderrLine)
	left, dropped, last := stderrBurst, 0, time.Now()
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			now := time.Now()
			if add := int(now.Sub(last).Seconds() * stderrPerSec); add > 0 {
				left, last = min(left+add, stderrBurst), now
			}
			if left > 0 {
				if dropped > 0 {
					log.Warn(stderrOverflow, "count", dropped)
					dropped = 0
				}
				left--
				if line[len(line)-1] == '\n' {
					line = line[:len(line)-1]
				}
				if len(line) > 0 {
					log.Error(string(line), "source", "stderr")
				}
			} else {
				dropped++
			}
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			if dropped > 0 {
				log.Warn(stderrOverflow, "count", dropped)
			}
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
				log.Warn("standard error unreadable", "error", err)
			}
			return
		}
	}
}
