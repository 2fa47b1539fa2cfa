package sql

import (
	"slices"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/replica"
)

// What this server knows of the source that it follows, as MySQL 8.0 has it in performance_schema ("Performance Schema
// Replication Tables"). There is one channel, without a name, and one worker, number 0; threads have no numbers. What was
// received is not kept, so there is no set of it.

// replicaTable is one row of a table, where a source is configured.
type replicaTable []struct {
	name  string
	kind  gms.Type
	value func(*replica.Status) any
}

var (
	shortText = types.MustCreateString(types.Text.Type(), 1024, gms.Collation_Information_Schema_Default)
	noTime    = types.DatetimeMaxPrecision.Zero()
)

// zeroOr is a time as it is shown: the zero one where there is none.
func zeroOr(t time.Time) any {
	if t.IsZero() {
		return noTime
	}
	return t.UTC()
}

// ioService and sqlService are the states of the two halves.
func ioService(s *replica.Status) any {
	return map[string]string{"Yes": "ON", "No": "OFF", "Connecting": "CONNECTING"}[firstWord(s)]
}

func firstWord(s *replica.Status) string {
	io, _, _, _ := runningWords(s)
	return io
}

func sqlService(s *replica.Status) any {
	if _, sql, _, _ := runningWords(s); sql == "Yes" {
		return "ON"
	}
	return "OFF"
}

func nothing(*replica.Status) any { return nil }

var channelColumn = replicaTable{{"CHANNEL_NAME", shortText, empty}}

// failureColumns are those of an error, behind a prefix.
func failureColumns(prefix string, of func(*replica.Status) replica.Failure) replicaTable {
	return replicaTable{
		{prefix + "_NUMBER", types.Int32, func(s *replica.Status) any { return int32(of(s).Code) }},
		{prefix + "_MESSAGE", shortText, func(s *replica.Status) any { return of(s).Text }},
		{prefix + "_TIMESTAMP", types.DatetimeMaxPrecision, func(s *replica.Status) any { return zeroOr(of(s).At) }},
	}
}

// transactionColumns are those of a transaction: its name and times. begun and ended are what MySQL calls what this server
// has done with it, ended empty for one that is on its way.
func transactionColumns(name, begun, ended string, of func(*replica.Status) replica.Transaction) replicaTable {
	at := func(name string, when func(replica.Transaction) time.Time) replicaTable {
		return replicaTable{{name, types.DatetimeMaxPrecision, func(s *replica.Status) any { return zeroOr(when(of(s))) }}}
	}
	columns := replicaTable{{name, shortText, func(s *replica.Status) any { return of(s).Name }}}
	columns = append(columns, at(name+"_ORIGINAL_COMMIT_TIMESTAMP", func(t replica.Transaction) time.Time { return t.Original })...)
	columns = append(columns, at(name+"_IMMEDIATE_COMMIT_TIMESTAMP", func(t replica.Transaction) time.Time { return t.Committed })...)
	columns = append(columns, at(name+"_"+begun+"_TIMESTAMP", func(t replica.Transaction) time.Time { return t.Begun })...)
	if ended != "" {
		columns = append(columns, at(name+"_"+ended+"_TIMESTAMP", func(t replica.Transaction) time.Time { return t.Ended })...)
	}
	return columns
}

// retryColumns are those of what has kept a transaction from being applied.
func retryColumns(name string, count func(*replica.Status) uint64, of func(*replica.Status) replica.Failure) replicaTable {
	return append(replicaTable{{name + "_RETRIES_COUNT", types.Uint64, func(s *replica.Status) any { return count(s) }}},
		failureColumns(name+"_LAST_TRANSIENT_ERROR", of)...)
}

var connectionStatus = slices.Concat(channelColumn,
	replicaTable{
		{"GROUP_NAME", shortText, empty},
		{"SOURCE_UUID", shortText, func(s *replica.Status) any { return s.ServerUUID }},
		{"THREAD_ID", types.Uint64, nothing},
		{"SERVICE_STATE", shortText, ioService},
		{"COUNT_RECEIVED_HEARTBEATS", types.Uint64, func(s *replica.Status) any { return s.Heartbeats }},
		{"LAST_HEARTBEAT_TIMESTAMP", types.DatetimeMaxPrecision, func(s *replica.Status) any { return zeroOr(s.LastHeartbeat) }},
		{"RECEIVED_TRANSACTION_SET", types.LongText, func(s *replica.Status) any { return s.Retrieved }},
	},
	failureColumns("LAST_ERROR", func(s *replica.Status) replica.Failure { return s.IO }),
	transactionColumns("LAST_QUEUED_TRANSACTION", "START_QUEUE", "END_QUEUE", func(s *replica.Status) replica.Transaction { return s.LastReceived }),
	transactionColumns("QUEUEING_TRANSACTION", "START_QUEUE", "", func(s *replica.Status) replica.Transaction { return s.Receiving }))

var applierStatus = slices.Concat(channelColumn, replicaTable{
	{"SERVICE_STATE", shortText, sqlService},
	{"REMAINING_DELAY", types.Uint32, nothing},
	{"COUNT_TRANSACTIONS_RETRIES", types.Uint64, func(s *replica.Status) any { return s.Repeats }},
})

var workerStatus = slices.Concat(channelColumn,
	replicaTable{
		{"WORKER_ID", types.Uint64, func(*replica.Status) any { return uint64(0) }},
		{"THREAD_ID", types.Uint64, nothing},
		{"SERVICE_STATE", shortText, sqlService},
	},
	failureColumns("LAST_ERROR", func(s *replica.Status) replica.Failure { return s.SQL }),
	transactionColumns("LAST_APPLIED_TRANSACTION", "START_APPLY", "END_APPLY", func(s *replica.Status) replica.Transaction { return s.LastApplied }),
	transactionColumns("APPLYING_TRANSACTION", "START_APPLY", "", func(s *replica.Status) replica.Transaction { return s.Applying }),
	retryColumns("LAST_APPLIED_TRANSACTION", func(s *replica.Status) uint64 { return s.LastRetries }, func(s *replica.Status) replica.Failure { return s.LastTransient }),
	retryColumns("APPLYING_TRANSACTION", func(s *replica.Status) uint64 { return s.Retries }, func(s *replica.Status) replica.Failure { return s.Transient }))

// ofReplica makes the table of a name.
func ofReplica(name string, columns replicaTable) *virtualTable {
	return &virtualTable{name,
		func(table string) (schema gms.Schema) {
			for _, c := range columns {
				schema = append(schema, virtualColumn(table, c.name, c.kind))
			}
			return schema
		},
		func(ctx *gms.Context) ([]gms.Row, error) {
			s, err := sessionOf(ctx)
			if err != nil {
				return nil, err
			}
			if err := s.need(ctx, gms.PrivilegeType_ReplicationClient, "SUPER or REPLICATION CLIENT"); err != nil {
				return nil, err
			}
			r := s.engine.replica.Load()
			if r == nil {
				return nil, nil
			}
			st, ok := r.Status()
			if !ok {
				return nil, nil
			}
			row := make(gms.Row, len(columns))
			for i, c := range columns {
				row[i] = c.value(&st)
			}
			return []gms.Row{row}, nil
		}}
}
