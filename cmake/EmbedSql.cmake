# Run by dunlin_embed_sql(): -DOUT= -DNAMESPACE= -DFILES=a,b
string(REPLACE "," ";" files "${FILES}")
set(body "// Generated from the numbered SQL files; do not edit.\n#pragma once\n\nnamespace ${NAMESPACE} {\n\n")
string(APPEND body "struct EmbeddedFile {\n  const char* name;\n  const char* text;\n};\n\n")
string(APPEND body "inline constexpr EmbeddedFile kSchemaFiles[] = {\n")
foreach(file ${files})
  file(READ ${file} text)
  get_filename_component(name ${file} NAME)
  # String literals are limited to 64 KiB in theory only; adjacent pieces keep compilers content.
  string(APPEND body "    {\"${name}\", R\"dunlinsql(${text})dunlinsql\"},\n")
endforeach()
string(APPEND body "};\n\n}  // namespace ${NAMESPACE}\n")
file(WRITE ${OUT} "${body}")
