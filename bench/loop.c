// The peer that Dunlin is measured against: what a careful engineer writes by hand with libpq.
//
//   loop DSN TABLE CONNECTIONS BATCH_ROWS [PERCENT_OF_TIME]
//
// Each connection has a contiguous part of the integer key `id`; a batch looks up the key 5,000 rows on and
// updates (from, to] in a transaction of its own, with prepared statements, both in one round trip (pipeline mode).
// What it does not have: a checkpoint (killed, nobody knows which rows are done), a fence against a second copy of
// itself, a pace, a plan for skewed keys.
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct part {
  const char* dsn;
  const char* table;
  int batch_rows;
  int percent;  // of the time that batches take; the rest is slept
  long long from, to;
  long long batches;
};

static void die(PGconn* connection, const char* what) {
  fprintf(stderr, "loop: %s: %s\n", what, PQerrorMessage(connection));
  exit(1);
}

static PGconn* open_connection(const char* dsn) {
  PGconn* connection = PQconnectdb(dsn);
  if (PQstatus(connection) != CONNECTION_OK) die(connection, "connect");
  PQclear(PQexec(connection,
                 "SET synchronous_commit = on; SET jit = off; SET max_parallel_workers_per_gather = 0"));
  return connection;
}

static PGresult* next_result(PGconn* connection, const char* what) {
  PGresult* result = PQgetResult(connection);
  const ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_PIPELINE_SYNC)
    die(connection, what);
  return result;
}

// BEGIN; UPDATE (from, to]; COMMIT; look-up of the end of the batch after it: one round trip.
static long long run_batch(PGconn* connection, const struct part* part, long long from, long long to) {
  char texts[3][32];
  snprintf(texts[0], sizeof texts[0], "%lld", from);
  snprintf(texts[1], sizeof texts[1], "%lld", to);
  snprintf(texts[2], sizeof texts[2], "%lld", part->to);
  const char* range[] = {texts[0], texts[1]};
  const char* ahead[] = {texts[1], texts[2]};
  PQsendQueryPrepared(connection, "begin", 0, NULL, NULL, NULL, 0);
  PQsendQueryPrepared(connection, "update", 2, range, NULL, NULL, 0);
  PQsendQueryPrepared(connection, "commit", 0, NULL, NULL, NULL, 0);
  PQsendQueryPrepared(connection, "boundary", 2, ahead, NULL, NULL, 0);
  PQpipelineSync(connection);
  long long next = part->to;
  for (int i = 0; i < 4; ++i) {
    PGresult* result = next_result(connection, "batch");
    if (i == 3 && PQntuples(result) == 1) next = atoll(PQgetvalue(result, 0, 0));
    PQclear(result);
    PQclear(PQgetResult(connection));  // the NULL behind each command
  }
  PQclear(next_result(connection, "sync"));
  return next;
}

static long long nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void rest(const struct part* part, long long worked) {
  const long long pause = worked * (100 - part->percent) / part->percent;
  const struct timespec time = {.tv_sec = pause / 1000000000LL, .tv_nsec = pause % 1000000000LL};
  if (pause > 0) nanosleep(&time, NULL);
}

static void* run_part(void* argument) {
  struct part* part = argument;
  PGconn* connection = open_connection(part->dsn);
  char sql[512];
  PQclear(PQprepare(connection, "begin", "BEGIN", 0, NULL));
  PQclear(PQprepare(connection, "commit", "COMMIT", 0, NULL));
  snprintf(sql, sizeof sql, "UPDATE %s SET n = n + 1 WHERE id > $1::bigint AND id <= $2::bigint", part->table);
  PQclear(PQprepare(connection, "update", sql, 0, NULL));
  snprintf(sql, sizeof sql,
           "SELECT id FROM %s WHERE id > $1::bigint AND id <= $2::bigint ORDER BY id LIMIT 1 OFFSET %d", part->table,
           part->batch_rows - 1);
  PQclear(PQprepare(connection, "boundary", sql, 0, NULL));
  if (!PQenterPipelineMode(connection)) die(connection, "pipeline mode");
  // The first look-up: a batch over an empty range.
  long long from = part->from;
  long long to = run_batch(connection, part, from, from);
  while (from < part->to) {
    const long long began = nanoseconds();
    const long long next = run_batch(connection, part, from, to);
    rest(part, nanoseconds() - began);
    ++part->batches;
    from = to;
    to = next;
  }
  PQfinish(connection);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) {
    fprintf(stderr, "usage: loop DSN TABLE CONNECTIONS BATCH_ROWS [PERCENT_OF_TIME]\n");
    return 2;
  }
  const int connections = atoi(argv[3]);
  PGconn* connection = open_connection(argv[1]);
  char sql[256];
  snprintf(sql, sizeof sql, "SELECT min(id) - 1, max(id) FROM %s", argv[2]);
  PGresult* ends = PQexec(connection, sql);
  if (PQresultStatus(ends) != PGRES_TUPLES_OK) die(connection, "ends of the key");
  const long long first = atoll(PQgetvalue(ends, 0, 0)), last = atoll(PQgetvalue(ends, 0, 1));
  PQclear(ends);
  PQfinish(connection);
  struct part* parts = calloc((size_t)connections, sizeof *parts);
  pthread_t* threads = calloc((size_t)connections, sizeof *threads);
  for (int i = 0; i < connections; ++i) {
    parts[i] = (struct part){.dsn = argv[1],
                             .table = argv[2],
                             .batch_rows = atoi(argv[4]),
                             .percent = argc == 6 ? atoi(argv[5]) : 100,
                             .from = first + (last - first) * i / connections,
                             .to = first + (last - first) * (i + 1) / connections};
    if (pthread_create(&threads[i], NULL, run_part, &parts[i]) != 0) return 1;
  }
  long long batches = 0;
  for (int i = 0; i < connections; ++i) {
    pthread_join(threads[i], NULL);
    batches += parts[i].batches;
  }
  printf("%lld batches\n", batches);
  return 0;
}
