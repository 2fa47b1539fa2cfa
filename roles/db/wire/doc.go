// Package wire is the MySQL protocol front of the db role: handshake,
// authentication, commands, prepared statements, cursors, result sets, timeouts
// and the end of connections, one goroutine per connection.
//
// It follows the MySQL 8.0 client/server protocol ("Protocol::HandshakeV10",
// "Protocol::HandshakeResponse41", "Command Phase") and the PROXY protocol
// specification of HAProxy, versions 1 and 2.
//
// It never parses or runs SQL, stores nothing and decides no privilege: that is
// the Engine, which the owner of the server gives to New. It opens and closes no
// listening socket.
package wire
