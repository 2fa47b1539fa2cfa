// Package dbcheck asks a database server over the MySQL protocol what it is: whether it answers
// at all, and, of a server of the site, whether it is the primary, in which epoch, and how far
// it lags. The balancers ask; the db role answers. It opens no connection and decides nothing.
//
// What is read before the server has proved who it is, its greeting, is bounded to one packet of
// maxGreeting bytes; all further bytes come over TLS by the site's CA.
package dbcheck
