;; A guest that keeps something; its path says what it does, with a key after the second slash:
;;   /cfg/<key>   answers with what its configuration says
;;   /get/<key>   answers with what is kept under the key
;;   /set/<key>   keeps SIZE bytes there
;;   /add/<key>   adds 1 to the number there
;; An answer is 200, 404 if there is nothing, 507 with the host's words if the host refuses.
(module
  (type $set-type (func (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $new-fields (result i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.path-with-query" (func $path-of (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $new-response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.set-status-code" (func $set-status (param i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.body" (func $body-of (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set" (func $set (type $set-type)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $stream-of (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]outgoing-body.finish" (func $finish (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop-stream (param i32)))
  (import "wasi:config/store@0.2.0-rc.1" "get" (func $config (param i32 i32 i32)))
  (import "wasi:keyvalue/store@0.2.0-draft" "open" (func $open (param i32 i32 i32)))
  (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.get" (func $get (param i32 i32 i32 i32)))
  (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.set" (func $put (param i32 i32 i32 i32 i32 i32)))
  (import "wasi:keyvalue/atomics@0.2.0-draft" "increment" (func $add (param i32 i32 i32 i64 i32)))

  (memory (export "memory") 64)
  (data (i32.const 8) "bucket")
  (global $heap (mut i32) (i32.const 2097152))

  (func (export "cabi_realloc") (param i32 i32 i32) (param $length i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $length)))
    (local.get $at))

  (func $respond (param $out i32) (param $status i32) (param $text i32) (param $length i32)
    (local $response i32) (local $body i32) (local $stream i32)
    (local.set $response (call $new-response (call $new-fields)))
    (drop (call $set-status (local.get $response) (local.get $status)))
    (call $body-of (local.get $response) (i32.const 3072))
    (local.set $body (i32.load (i32.const 3076)))
    (call $stream-of (local.get $body) (i32.const 3072))
    (local.set $stream (i32.load (i32.const 3076)))
    (call $set (local.get $out) (i32.const 0) (local.get $response)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (if (i32.gt_u (local.get $length) (i32.const 4096)) (then (local.set $length (i32.const 4096))))
    (call $write (local.get $stream) (local.get $text) (local.get $length) (i32.const 3072))
    (call $drop-stream (local.get $stream))
    (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 3072)))

  ;; Answers with a `result<option<..>, error>` at 1024.
  (func $tell (param $out i32)
    (if (i32.load8_u (i32.const 1024))
      (then (call $refuse (local.get $out) (i32.const 1032)) (return)))
    (if (i32.eqz (i32.load8_u (i32.const 1028)))
      (then (call $respond (local.get $out) (i32.const 404) (i32.const 0) (i32.const 0)) (return)))
    (call $respond (local.get $out) (i32.const 200) (i32.load (i32.const 1032)) (i32.load (i32.const 1036))))

  (func $refuse (param $out i32) (param $text i32)
    (call $respond (local.get $out) (i32.const 507) (i32.load (local.get $text)) (i32.load offset=4 (local.get $text))))

  (func $bucket (result i32)
    (call $open (i32.const 8) (i32.const 6) (i32.const 1024))
    (i32.load (i32.const 1028)))

  (func (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $out i32)
    (local $path i32) (local $letter i32) (local $key i32) (local $length i32)
    (call $path-of (local.get $request) (i32.const 512))
    (local.set $path (i32.load (i32.const 516)))
    (local.set $letter (i32.load8_u (i32.add (local.get $path) (i32.const 1))))
    (local.set $key (i32.add (local.get $path) (i32.const 5)))
    (local.set $length (i32.sub (i32.load (i32.const 520)) (i32.const 5)))
    ;; The worker's own first request has no key.
    (if (i32.lt_s (local.get $length) (i32.const 0))
      (then (call $respond (local.get $out) (i32.const 200) (i32.const 0) (i32.const 0)) return))
    (if (i32.eq (local.get $letter) (i32.const 99))
      (then
        (call $config (local.get $key) (local.get $length) (i32.const 1024))
        (call $tell (local.get $out))
        return))
    (if (i32.eq (local.get $letter) (i32.const 103))
      (then
        (call $get (call $bucket) (local.get $key) (local.get $length) (i32.const 1024))
        (call $tell (local.get $out))
        return))
    (if (i32.eq (local.get $letter) (i32.const 115))
      (then
        (call $put (call $bucket) (local.get $key) (local.get $length) (i32.const 0) (i32.const SIZE) (i32.const 1024))
        (if (i32.load8_u (i32.const 1024))
          (then (call $refuse (local.get $out) (i32.const 1032)) return))
        (call $respond (local.get $out) (i32.const 200) (i32.const 0) (i32.const 0))
        return))
    (if (i32.eq (local.get $letter) (i32.const 97))
      (then
        (call $add (call $bucket) (local.get $key) (local.get $length) (i64.const 1) (i32.const 1024))
        (if (i32.load8_u (i32.const 1024))
          (then (call $refuse (local.get $out) (i32.const 1036)) return))
        (call $respond (local.get $out) (i32.const 200) (i32.const 0) (i32.const 0))
        return))
    (call $respond (local.get $out) (i32.const 200) (i32.const 0) (i32.const 0)))
)
