deleted_at IS NULL AND v > :v AND x = 'a'
  'b'