// Package userlock keeps the named locks of GET_LOCK(): each has one owner, who may take it
// several times, and gives it to those who wait in the order of asking. A circle of owners
// who wait for each other is found when it closes.
package userlock
