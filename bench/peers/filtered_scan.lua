-- Reads the whole table of oltp_read_write for a few of its rows: neither column has an index.
sysbench.cmdline.options = {
   table_size = {"Number of rows of the table", 10000},
   rand_type = {"Taken and not used: every scan is the same", "uniform"},
}

function thread_init()
   con = sysbench.sql.driver():connect()
end

function event()
   con:query("SELECT id, c FROM sbtest1 WHERE pad < '1' AND c LIKE '%-4242%'")
end

function thread_done()
   con:disconnect()
end
