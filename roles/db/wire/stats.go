package wire

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats is a snapshot of a server's counters. Everything counts from New on, except
// the gauges, which say so.
type Stats struct {
	Connections    int    // gauge: open now, logging in included
	MaxConnections int    // most that were open at once
	Opened         uint64 // accepted
	Connected      uint64 // logged in

	Refused         map[uint16]uint64 // before or at login, by error number: 1040
	AbortedConnects uint64            // ended before the login was complete
	AbortedClients  uint64            // broke after it, without COM_QUIT
	IdleClosed      uint64            // by wait_timeout
	ClientsGone     uint64            // left while their statement ran

	AuthFailures  uint64 // 1045
	FastAuth      uint64 // caching_sha2_password answered from the cache
	FullAuth      uint64 // … that took the password itself
	Compressed    uint64 // connections that compress
	TLSHandshakes uint64
	TLSErrors     uint64
	ProxyRefused  uint64 // PROXY headers, untrusted or malformed
	AcceptErrors  uint64

	KilledQueries     uint64
	KilledConnections uint64
	Panics            uint64 // defects of the engine, each of which cost a connection

	Commands map[string]uint64 // by name: "query", "stmt_execute", …; "unknown" for the rest
	Errors   map[uint16]uint64 // error packets sent, by number

	BytesIn, BytesOut uint64
	Statements        int64  // gauge: prepared statements
	Cursors           int64  // gauge: open cursors
	CursorFiles       uint64 // cursors that went to a file
	LocalFiles        uint64 // asked of clients by LOAD DATA LOCAL
}

// commandNames are the commands that are answered.
var commandNames = map[byte]string{
	comQuit: "quit", comInitDB: "init_db", comQuery: "query", comFieldList: "field_list",
	comRefresh: "refresh", comStatistics: "statistics", comProcessKill: "process_kill", comPing: "ping",
	comChangeUser: "change_user", comStmtPrepare: "stmt_prepare", comStmtExecute: "stmt_execute",
	comStmtSendLong: "stmt_send_long_data", comStmtClose: "stmt_close", comStmtReset: "stmt_reset",
	comSetOption: "set_option", comStmtFetch: "stmt_fetch",
	comRegisterSlave: "register_slave", comBinlogDump: "binlog_dump", comBinlogDumpGTID: "binlog_dump_gtid", comResetConnection: "reset_connection",
}

// counters is what Stats is read from.
type counters struct {
	most                             atomic.Int64
	accepted, connected              atomic.Uint64
	abortedConnects, abortedClients  atomic.Uint64
	idleClosed, clientsGone          atomic.Uint64
	authFailures, fastAuth, fullAuth atomic.Uint64
	tlsHandshakes, tlsErrors         atomic.Uint64
	compressed                       atomic.Uint64
	proxyRefused, acceptErrors       atomic.Uint64
	killedQueries, killedConnections atomic.Uint64
	panics                           atomic.Uint64
	commands                         [32]atomic.Uint64 // 0 counts those that do not exist
	bytesIn, bytesOut                atomic.Uint64
	statements, cursors              atomic.Int64
	cursorFiles, localFiles          atomic.Uint64

	mu             sync.Mutex
	errors, denied map[uint16]uint64
}

func (s *counters) opened(now int) {
	s.accepted.Add(1)
	for {
		most := s.most.Load()
		if int64(now) <= most || s.most.CompareAndSwap(most, int64(now)) {
			return
		}
	}
}

func (s *counters) command(code byte) {
	if _, ok := commandNames[code]; !ok {
		code = 0
	}
	s.commands[code].Add(1)
}

func (s *counters) questions() (n uint64) {
	for i := range s.commands {
		n += s.commands[i].Load()
	}
	return n
}

func (s *counters) failed(code uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.errors == nil {
		s.errors = map[uint16]uint64{}
	}
	s.errors[code]++
}

func (s *counters) refused(code uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.denied == nil {
		s.denied = map[uint16]uint64{}
	}
	s.denied[code]++
}

// Stats reads the counters. Cheap enough for every scrape.
func (s *Server) Stats() Stats {
	c := &s.stats
	out := Stats{
		MaxConnections: int(c.most.Load()),
		Opened:         c.accepted.Load(), Connected: c.connected.Load(),
		AbortedConnects: c.abortedConnects.Load(), AbortedClients: c.abortedClients.Load(),
		IdleClosed: c.idleClosed.Load(), ClientsGone: c.clientsGone.Load(),
		AuthFailures: c.authFailures.Load(), FastAuth: c.fastAuth.Load(), FullAuth: c.fullAuth.Load(),
		Compressed:    c.compressed.Load(),
		TLSHandshakes: c.tlsHandshakes.Load(), TLSErrors: c.tlsErrors.Load(),
		ProxyRefused: c.proxyRefused.Load(), AcceptErrors: c.acceptErrors.Load(),
		KilledQueries: c.killedQueries.Load(), KilledConnections: c.killedConnections.Load(),
		Panics: c.panics.Load(), Commands: map[string]uint64{"unknown": c.commands[0].Load()},
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Statements: c.statements.Load(), Cursors: c.cursors.Load(), CursorFiles: c.cursorFiles.Load(),
		LocalFiles: c.localFiles.Load(),
	}
	for code, name := range commandNames {
		out.Commands[name] = c.commands[code].Load()
	}
	c.mu.Lock()
	out.Errors, out.Refused = maps.Clone(c.errors), maps.Clone(c.denied)
	c.mu.Unlock()
	s.mu.Lock()
	out.Connections = len(s.conns)
	s.mu.Unlock()
	return out
}
