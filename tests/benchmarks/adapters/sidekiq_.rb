# The job of sidekiq_.py: it adds one to its byte of the shared file.
require 'sidekiq'

Sidekiq.configure_server do |config|
  config.redis = { url: ENV['BENCH_REDIS_URL'] }
  Sidekiq.logger.level = Logger::ERROR
end

MARKS = File.open(ENV['BENCH_MARKS'], 'r+b')

class Noop
  include Sidekiq::Worker
  sidekiq_options queue: 'bench'

  def perform(number, _text)
    MARKS.pwrite((MARKS.pread(1, number).ord + 1).chr, number)
    number
  end
end
