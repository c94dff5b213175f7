;; A guest whose path says what it does:
;;   /trap /loop /hog /silent     misbehave so
;;   /evil                        does what the test says
;;   /big                         answers with a body that never ends
;;   /flood                       answers with headers that never end
;;   /who                         200 if the host says which member asks, else 401
;;   /keep-open                   answers with a body that it neither ends nor gives up
;;   /grow                        takes 20 MiB more
;;   /nth                         200 + the requests that this instance answered before
;;   /out/<host>[/<path>]         asks that host, and answers with its status; 600 + the error code if there is none
;;   anything else                STATUS
(module
  (type $set-type (func (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $new-fields (result i32)))
  (import "wasi:http/types@0.2.0" "[method]fields.has" (func $has (param i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.path-with-query" (func $path-of (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.headers" (func $headers-of (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $new-response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.set-status-code" (func $set-status (param i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set" (func $set (type $set-type)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $new-request (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-scheme" (func $set-scheme (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority" (func $set-authority (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query" (func $set-path (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe" (func $subscribe (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $get (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-response.status" (func $status-of (param i32) (result i32)))
  (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle (param i32 i32 i32 i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:http/types@0.2.0" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.body" (func $body-of (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $stream-of (param i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.consume" (func $consume (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $stream-in (param i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
  (import "wasi:http/types@0.2.0" "[resource-drop]incoming-request" (func $drop-request (param i32)))
  (import "wasi:http/types@0.2.0" "[resource-drop]incoming-response" (func $drop-answer (param i32)))
  (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
  IMPORT

  (memory (export "memory") PAGES)
  (data (i32.const 8) "/")
  (data (i32.const 16) "coreward-caller")
  (global $heap (mut i32) (i32.const 65536))
  (global $answered (mut i32) (i32.const 0))

  (func (export "cabi_realloc") (param i32 i32 i32) (param $length i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $length)))
    (local.get $at))

  (func $send (param $out i32) (param $response i32)
    (call $set (local.get $out) (i32.const 0) (local.get $response)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))

  (func $respond (param $out i32) (param $status i32)
    (local $response i32)
    (local.set $response (call $new-response (call $new-fields)))
    (drop (call $set-status (local.get $response) (local.get $status)))
    (call $send (local.get $out) (local.get $response)))

  (func $big (param $out i32)
    (local $response i32) (local $stream i32)
    (local.set $response (call $new-response (call $new-fields)))
    (call $body-of (local.get $response) (i32.const 3072))
    (call $stream-of (i32.load (i32.const 3076)) (i32.const 3072))
    (local.set $stream (i32.load (i32.const 3076)))
    (call $send (local.get $out) (local.get $response))
    (loop $more
      (call $write (local.get $stream) (i32.const 0) (i32.const 4096) (i32.const 3072))
      (br_if $more (i32.eqz (i32.load8_u (i32.const 3072))))))

  (func $keep-open (param $out i32)
    (local $response i32)
    (local.set $response (call $new-response (call $new-fields)))
    (call $body-of (local.get $response) (i32.const 3072))
    (call $send (local.get $out) (local.get $response)))

  (func $flood (param $out i32)
    (local $fields i32) (local $count i32)
    (local.set $fields (call $new-fields))
    (memory.fill (i32.const 8192) (i32.const 97) (i32.const 4096))
    (loop $more
      (call $append (local.get $fields) (i32.const 8192) (i32.const 8) (i32.const 8192) (i32.const 4096) (i32.const 3072))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (br_if $more (i32.and (i32.eqz (i32.load8_u (i32.const 3072))) (i32.lt_u (local.get $count) (i32.const 100000)))))
    (call $send (local.get $out) (call $new-response (local.get $fields))))

  (type $evil-type (func (param i32 i32) (result i32)))
  PARTS
  (func $evil (type $evil-type) (param $request i32) (param $out i32) (result i32)
    (local $count i32) (local $stream i32)
    EVIL
    (i32.const 0))

  (func $ask (param $host i32) (param $host-length i32) (param $path i32) (param $path-length i32) (result i32)
    (local $request i32) (local $future i32) (local $status i32)
    (local.set $request (call $new-request (call $new-fields)))
    (drop (call $set-scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
    (drop (call $set-authority (local.get $request) (i32.const 1) (local.get $host) (local.get $host-length)))
    (if (i32.eqz (local.get $path-length))
      (then (local.set $path (i32.const 8)) (local.set $path-length (i32.const 1))))
    (drop (call $set-path (local.get $request) (i32.const 1) (local.get $path) (local.get $path-length)))
    (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 1024))
    (if (i32.load8_u (i32.const 1024)) (then (return (i32.add (i32.const 600) (i32.load8_u (i32.const 1032))))))
    (local.set $future (i32.load (i32.const 1032)))
    (call $block (call $subscribe (local.get $future)))
    (call $get (local.get $future) (i32.const 2048))
    (if (i32.load8_u (i32.const 2064)) (then (return (i32.add (i32.const 600) (i32.load8_u (i32.const 2072))))))
    (local.set $status (call $status-of (i32.load (i32.const 2072))))
    (call $drop-answer (i32.load (i32.const 2072)))
    (local.get $status))

  (func $ask-by-path (param $path i32) (param $length i32) (result i32)
    (local $host i32) (local $end i32) (local $slash i32)
    (local.set $host (i32.add (local.get $path) (i32.const 5)))
    (local.set $end (i32.add (local.get $path) (local.get $length)))
    (local.set $slash (local.get $host))
    (block $found
      (loop $next
        (br_if $found (i32.ge_u (local.get $slash) (local.get $end)))
        (br_if $found (i32.eq (i32.load8_u (local.get $slash)) (i32.const 47)))
        (local.set $slash (i32.add (local.get $slash) (i32.const 1)))
        (br $next)))
    (call $ask (local.get $host) (i32.sub (local.get $slash) (local.get $host))
      (local.get $slash) (i32.sub (local.get $end) (local.get $slash))))

  (func $who (param $request i32) (result i32)
    (select (i32.const 200) (i32.const 401)
      (call $has (call $headers-of (local.get $request)) (i32.const 16) (i32.const 15))))

  (func (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $out i32)
    (local $path i32) (local $length i32) (local $letter i32)
    FIRST
    (global.set $answered (i32.add (global.get $answered) (i32.const 1)))
    (call $path-of (local.get $request) (i32.const 512))
    (local.set $path (i32.load (i32.const 516)))
    (local.set $length (i32.load (i32.const 520)))
    (if (i32.gt_u (local.get $length) (i32.const 1))
      (then (local.set $letter (i32.load8_u (i32.add (local.get $path) (i32.const 1))))))
    (if (i32.eq (local.get $letter) (i32.const 116)) (then unreachable))
    (if (i32.eq (local.get $letter) (i32.const 108)) (then (loop $for-ever (br $for-ever))))
    (if (i32.eq (local.get $letter) (i32.const 104))
      (then
        (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        unreachable))
    (if (i32.eq (local.get $letter) (i32.const 101))
      (then (if (call $evil (local.get $request) (local.get $out)) (then return))))
    (if (i32.eq (local.get $letter) (i32.const 115)) (then (call $drop-request (local.get $request)) return))
    (if (i32.eq (local.get $letter) (i32.const 98)) (then (call $big (local.get $out)) return))
    (if (i32.eq (local.get $letter) (i32.const 102)) (then (call $flood (local.get $out)) return))
    (if (i32.eq (local.get $letter) (i32.const 107))
      (then
        (call $drop-request (local.get $request))
        (call $keep-open (local.get $out))
        return))
    (if (i32.eq (local.get $letter) (i32.const 103))
      (then (if (i32.eq (memory.grow (i32.const 320)) (i32.const -1)) (then unreachable))))
    (if (i32.eq (local.get $letter) (i32.const 110))
      (then
        (call $drop-request (local.get $request))
        (call $respond (local.get $out) (i32.add (i32.const 199) (global.get $answered)))
        return))
    (if (i32.eq (local.get $letter) (i32.const 119))
      (then (call $respond (local.get $out) (call $who (local.get $request))) return))
    (if (i32.eq (local.get $letter) (i32.const 111))
      (then
        (call $drop-request (local.get $request))
        (call $respond (local.get $out) (call $ask-by-path (local.get $path) (local.get $length)))
        return))
    (call $respond (local.get $out) (i32.const STATUS)))
)
