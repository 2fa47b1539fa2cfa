package replica

import (
	"fmt"
	"runtime/debug"
)

// recovered makes an error of a panic, which ends following: a server that ended instead would start again, and come to the
// same place in the log. at says what it was at.
func (r *Replica) recovered(at *string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: internal error: %v", *at, p)
		r.opts.Log.Error("following the source: "+(*err).Error(), "stack", string(debug.Stack()))
	}
}

// receiveAll reads the log off a connection until that ends.
func (r *Replica) receiveAll(v *receiver) (err error) {
	at, ended := "receive the log", false
	defer func() {
		if !ended {
			err = &fatalError{err} // what was received before can be applied
		}
	}()
	defer r.recovered(&at, &err)
	err = v.run()
	ended = true
	return err
}
